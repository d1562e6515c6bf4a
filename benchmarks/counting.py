"""Do tracks and a line count the cars that eyes count?

    uv run benchmarks/counting.py yolox.onnx car-detection.mp4

Takes a detector and the clip of that name from Intel's sample videos, which shows four cars from above. Follows what is
found and counts it over a line at half of the height, whatever its class: COCO, for one, has no cars from above. Prints
tracks and crossings; exits with 0 if they are those counted by eye, with 1 if not. What moves by less than a tenth of
the picture's height is a thing at rest and no car.
"""

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import recognise

BY_EYE = (
    (88, "in"),
    (198, "out"),
    (220, "in"),
    (327, "out"),
)  # frames: a car's lower end has passed
TOLERANCE = 3  # frames
MOVED = 0.1  # of the picture's height
LINE = "lines: {middle: {points: [[0, 0.5], [1, 0.5]]}}"


@dataclass
class Track:
    frames: list[int] = field(default_factory=list)
    places: list[float] = field(default_factory=list)  # of the middle of the box, as a part of the picture's height
    labels: Counter[str] = field(default_factory=Counter)

    @property
    def moved(self):
        return max(self.places) - min(self.places)


def follow(model, video, threshold):
    """The tracks by number, and each crossing: frame, direction, track."""
    tracks, crossings = defaultdict(Track), []
    with tempfile.TemporaryDirectory() as folder:
        zones = Path(folder) / "zones.yaml"
        zones.write_text(LINE)
        options = {"track": True, "zones": str(zones), "threshold": threshold, "draw": False}
        for item in recognise(str(video), model, **options):
            found = item.results
            rows = zip(found.tracks_N.tolist(), found.labels_N.tolist(), found.boxes_N4.tolist(), strict=True)
            for number, label, (_, top, _, bottom) in rows:
                if number:
                    tracks[number].frames.append(item.frame.index)
                    tracks[number].places.append((top + bottom) / 2 / item.frame.height)
                    tracks[number].labels[found.names[label]] += 1
            crossings += [(item.frame.index, event.kind, event.track) for event in item.counts.events]
    return tracks, crossings


def judge(tracks, crossings):
    """What does not agree with the count by eye."""
    moving = [number for number, track in tracks.items() if track.moved > MOVED]
    if len(moving) != len(BY_EYE):
        yield f"{len(moving)} tracks move, but there are {len(BY_EYE)} cars"
    if sorted(number for *_, number in crossings) != sorted(moving):
        yield "not every car that moves crosses the line once, as one track"
    if [kind for _, kind, _ in crossings] != [kind for _, kind in BY_EYE]:
        yield "not as many crossings, or in other directions"
    elif any(abs(seen - true) > TOLERANCE for (seen, *_), (true, _) in zip(crossings, BY_EYE, strict=True)):
        yield f"a crossing more than {TOLERANCE} frames off"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--threshold", type=float, default=0.25)
    arguments = parser.parse_args()
    tracks, crossings = follow(arguments.model, arguments.video, arguments.threshold)
    for number, track in tracks.items():
        first, last = track.frames[0], track.frames[-1]
        seen = ", ".join(f"{label} {count}" for label, count in track.labels.most_common())
        print(f"track {number}: frames {first} to {last}, moved {track.moved:.2f} picture heights, as {seen}")
    print("crossings:", ", ".join(f"{frame} {kind}" for frame, kind, _ in crossings))
    print("by eye:   ", ", ".join(f"{frame} {kind}" for frame, kind in BY_EYE))
    wrong = list(judge(tracks, crossings))
    print("\n".join(wrong) or "they agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
