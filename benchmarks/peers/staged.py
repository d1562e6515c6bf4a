"""What one writes by hand to have all cores at work: threads read, infer side by side, and write, with a bounded queue.

The functions are those of the plain loop; each core has an inference of one thread.

uv run --no-project benchmarks/peers/staged.py NETWORK.onnx CLIP OUT.mp4 yolox|yolov8|classifier HEIGHT WIDTH
"""
# /// script
# dependencies = ["numpy>=2.1", "onnxruntime>=1.31", "opencv-python>=5.0"]
# ///

import os
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
from plain import finish, open_callback, open_writer, read


def main(network, clip, output, kind, height, width):
    cores = len(os.sched_getaffinity(0))
    label = open_callback(network, kind, height, width, threads=1)
    cv2.setNumThreads(1)
    started, frames = time.perf_counter(), 0
    capture = cv2.VideoCapture(clip)
    writer = open_writer(capture, output)
    labelled = queue.Queue(2 * cores)
    with ThreadPoolExecutor(cores) as pool:

        def submit_all():
            try:
                for frame in read(capture):
                    labelled.put(pool.submit(label, frame))
            finally:
                labelled.put(None)

        threading.Thread(target=submit_all, daemon=True).start()
        while (future := labelled.get()) is not None:
            writer.write(future.result())
            frames += 1
    finish(capture, writer, frames, started)


if __name__ == "__main__":
    main(*sys.argv[1:])
