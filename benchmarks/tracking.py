"""How well are objects followed, and what is the real time between frames worth to it?

    uv run benchmarks/tracking.py                     # eight synthetic scenes of 40 s with known identities

The objects cross and hide each other; boxes are noisy, some are missed, some are false; frames come at irregular times.
Prints, for all frames and with 30 % of them dropped (four in a row on average), means over the scenes: HOTA, MOTA and
IDF1 in percent, switches of identity, and how many tracks there were for how many objects. *Nominal* is the same
tracker, told that each frame came one nominal step after the last.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from pipeline.track import Tracker

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.crossings import RATE, crossings, measure

THRESHOLD = 0.25
ROW = "{:14}{:10}{:>8}{:>8}{:>8}{:>10}{:>8}{:>9}"


def means(scenes, *, nominal):
    """The mean of each score over the scenes."""
    scores = []
    for scene in scenes:
        times = [index / RATE for index in range(len(scene))] if nominal else None
        scores.append(measure(scene, Tracker(THRESHOLD), times))
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=40.0)
    arguments = parser.parse_args()
    print(ROW.format("frames", "time", "HOTA", "MOTA", "IDF1", "switches", "tracks", "objects"))
    for name, dropped in (("all", 0.0), ("30 % dropped", 0.3)):
        scenes = [crossings(seed=seed, seconds=arguments.seconds, dropped=dropped) for seed in range(arguments.scenes)]
        for told in ("real", "nominal"):
            mean = means(scenes, nominal=told == "nominal")
            percent = (f"{100 * mean[score]:.1f}" for score in ("HOTA", "MOTA", "IDF1"))
            counts = (f"{mean[count]:.1f}" for count in ("IDSW", "tracks", "objects"))
            print(ROW.format(name, told, *percent, *counts))


if __name__ == "__main__":
    main()
