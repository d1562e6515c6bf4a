"""The cameras of `soak.py`: what they show, and what is done to them."""

import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction

import av
from av.filter import Graph
from soak_results import CAMERAS, SOON

KINDS = ("kill", "pause", "corrupt")
DOWN = 12.0  # seconds of a disturbance: longer than a camera is waited for until its connection counts as lost
APART = DOWN + SOON + 8  # seconds from one disturbance to the next, at least
WIDTH, HEIGHT = 1280, 720


@dataclass
class Disturbance:
    """Times are seconds since the beginning of the run; None: not yet."""

    camera: str
    kind: str
    due: float
    began: float | None = None
    well: float | None = None
    frames: int = 0  # of the camera when it was made well
    back: float | None = None


class TestCamera:
    def __init__(self, clip):
        command = [sys.executable, "-m", "pipeline.testcamera", str(clip), "--rtsp-port", "0", "--controls"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self._read("ready")

    def turn(self, mode):
        self._process.stdin.write(f"{mode}\n")
        self._process.stdin.flush()
        self._read("now")

    def close(self):
        self._process.terminate()
        self._process.communicate()

    def _read(self, expected):
        word, _, rest = self._process.stdout.readline().strip().partition(" ")
        if word != expected:
            raise RuntimeError("the test camera does not do what it is told: see above")
        return rest


def encode(source, target, rate):
    """`source` as H.264 of 720p with a key frame a second."""
    fit = f"scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=decrease,pad={WIDTH}:{HEIGHT}:-1:-1,format=yuv420p"
    with av.open(str(source)) as clip, av.open(str(target), "w") as output:
        stream = clip.streams.video[0]
        coded = output.add_stream("libx264", rate=rate, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        coded.options = {"preset": "veryfast", "tune": "zerolatency", "g": str(rate), "keyint_min": str(rate)}
        coded.time_base = Fraction(1, rate)
        graph = Graph()
        fitting = [part.split("=", 1) for part in f"fps={rate},{fit}".split(",")]
        graph.link_nodes(
            graph.add_buffer(template=stream), *(graph.add(*part) for part in fitting), graph.add("buffersink")
        ).configure()
        for frame in (*clip.decode(stream), None):
            graph.push(frame)
            for picture in pulled(graph):
                output.mux(coded.encode(picture))
        output.mux(coded.encode())


def pulled(graph):
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def plan(seconds, settled, minute):
    """Each camera in turn, another kind each time; those for which there is time."""
    turns = [(name, KINDS[(turn + place) % 3]) for turn in range(3) for place, name in enumerate(CAMERAS)]
    end = seconds - minute
    apart = max(APART, (end - settled) / len(turns))
    all_of_them = [Disturbance(*turn, settled + number * apart) for number, turn in enumerate(turns)]
    return [each for each in all_of_them if each.due + APART <= end]


def disturb(disturbances, cameras, now, seen):
    """Does what is due. `seen` is how the cameras are."""
    for each in disturbances:
        if each.began is None and now >= each.due:
            cameras[each.camera].turn(each.kind)
            each.began = now
        elif each.began is not None and each.well is None and now >= each.began + DOWN:
            each.frames = seen[each.camera]["frames"]
            cameras[each.camera].turn("well")
            each.well = now
        elif each.well is not None and each.back is None:
            camera = seen[each.camera]
            if camera["state"] == "live" and camera["frames"] > each.frames:
                each.back = now
