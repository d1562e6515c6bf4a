"""What each preset of x264 costs, and what it makes of a clip: CPU time, size, and likeness.

    uv run benchmarks/presets.py CLIP [CLIP …]

A frame's milliseconds of one thread, medians of rounds in which the presets take turns; bytes; and the mean PSNR of
what a player gets, against what the encoder was given. Frames are encoded as `onsight run` encodes them, but without a
container.
"""

import argparse
import statistics
from itertools import islice
from pathlib import Path
from time import thread_time

import av
import cv2

from pipeline.sinks.encoder import PRESETS, trial_encoder
from pipeline.sinks.picture import Picture


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| clip | preset | CPU ms a frame | bytes a frame | PSNR, dB |\n|---|---|---|---|---|")
    for clip in arguments.clips:
        images = read(clip, arguments.frames)
        rounds = [{preset: encode(images, preset) for preset in PRESETS} for _ in range(arguments.rounds)]
        for preset in PRESETS:
            cost = 1000 * statistics.median(each[preset][0] for each in rounds) / len(images)
            packets = rounds[0][preset][1]
            size = sum(packet.size for packet in packets) / len(images)
            print(f"| {clip.name} | {preset} | {cost:.1f} | {size:.0f} | {likeness(images, packets):.1f} |")


if __name__ == "__main__":
    main()
