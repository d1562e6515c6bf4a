"""What each preset of x264 costs, and what it makes of a clip: CPU time, size, and likeness.

    uv run benchmarks/presets.py CLIP [CLIP …] --output presets.json --write docs/configuration.md
    uv run benchmarks/presets.py --read presets.json --write docs/configuration.md

A frame's milliseconds of one thread, medians of rounds in which the presets take turns, another one first; bytes; and
the mean PSNR of what a player gets, against what the encoder was given. Frames are encoded as `onsight run` encodes
them, but without a container. A round that is not counted comes first.
"""

import argparse
import statistics
from itertools import islice
from pathlib import Path
from time import thread_time

import av
import cv2
from pages import add_page_options, list_versions, paragraphs, publish, spread, table

from pipeline.sinks.encoder import PRESETS, trial_encoder
from pipeline.sinks.picture import Picture

USUAL = "veryfast"  # what `auto` stops at: slower ones are held against it


def read(clip, count):
    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in islice(container.decode(video=0), count)]


def encode(images, preset):
    """CPU seconds, and the packets."""
    picture = Picture(*images[0].shape[:2])
    context = trial_encoder("x264", preset, picture)
    packets, began = [], thread_time()
    for index, image in enumerate(images):
        picture.fill(image)
        picture.frame.pts, picture.frame.time_base = index, context.time_base
        packets += context.encode(picture.frame)
    packets += context.encode(None)
    return thread_time() - began, packets


def likeness(images, packets):
    """Decibels."""
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    shown = [frame.to_ndarray(format="bgr24") for frame in frames]
    return statistics.fmean(cv2.PSNR(one, other) for one, other in zip(images, shown, strict=True))


def measure(images, rounds):
    """What each preset makes of the images; only the CPU time differs from round to round."""
    found = {}
    for preset in PRESETS:
        _, packets = encode(images, preset)
        size = sum(packet.size for packet in packets) / len(images)
        found[preset] = {"cpu_ms": [], "bytes": size, "psnr": likeness(images, packets)}
    for number in range(rounds):
        first = number % len(PRESETS)
        for preset in (*PRESETS[first:], *PRESETS[:first]):
            seconds, _ = encode(images, preset)
            found[preset]["cpu_ms"].append(1000 * seconds / len(images))
    return {"frames": len(images), "presets": found}


def to_markdown(told):
    machine, clips = told["machine"], told["clips"]
    where = f"{told['made']}, {machine['cpu']}; {list_versions(machine['versions'])}."
    first = ", ".join(f"{clip['frames']} of `{name}`" for name, clip in clips.items())
    described = f"{where}\nThe first frames, {first}; {told['rounds']} rounds: medians, lowest and highest."
    rows = (
        (name, preset, spread(each["cpu_ms"], ".1f"), f"{each['bytes']:.0f}", f"{each['psnr']:.1f}")
        for name, clip in clips.items()
        for preset, each in clip["presets"].items()
    )
    figures = table(("clip", "preset", "CPU ms a frame", "bytes a frame", "PSNR, dB"), rows)
    slower = table(("clip", f"beside `{USUAL}`", "CPU time", "bytes", "PSNR"), _beside(clips))
    return paragraphs((described, figures, slower))


def _beside(clips):
    """Of the presets that are slower than the usual one; times are compared within a round."""
    for name, clip in clips.items():
        usual = clip["presets"][USUAL]
        for preset in PRESETS[PRESETS.index(USUAL) + 1 :]:
            each = clip["presets"][preset]
            times = [one / other for one, other in zip(each["cpu_ms"], usual["cpu_ms"], strict=True)]
            size, gain = each["bytes"] / usual["bytes"] - 1, each["psnr"] - usual["psnr"]
            yield name, preset, spread(times, ".2f", " ×"), f"{size:+.0%}", f"{gain:+.1f} dB"


def measure_clips(arguments):
    clips = {clip.name: measure(read(clip, arguments.frames), arguments.rounds) for clip in arguments.clips}
    return {"rounds": arguments.rounds, "clips": clips}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="*", metavar="CLIP")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    add_page_options(parser)
    arguments = parser.parse_args()
    if bool(arguments.clips) == bool(arguments.read):
        parser.error("give clips, or --read FILE.json")
    publish(arguments, "presets", measure_clips, to_markdown)


if __name__ == "__main__":
    main()
