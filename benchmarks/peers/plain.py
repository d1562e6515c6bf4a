"""The loop that tutorials show: OpenCV reads and writes, ONNX Runtime infers with its default options.

uv run --no-project benchmarks/peers/plain.py NETWORK.onnx CLIP OUT.mp4 yolox|yolov8|classifier HEIGHT WIDTH
"""
# /// script
# dependencies = ["numpy>=2.1", "onnxruntime>=1.31", "opencv-python>=5.0"]
# ///

import json
import sys
import time

import cv2
import numpy as np
import onnxruntime as ort
from bound import session_options

SCORE, IOU = 0.25, 0.45
MEAN, STD = (123.675, 116.28, 103.53), np.float32([58.395, 57.12, 57.375]).reshape(3, 1, 1)


def letterbox(frame, height, width, centred):
    scale = min(height / frame.shape[0], width / frame.shape[1])
    h, w = round(frame.shape[0] * scale), round(frame.shape[1] * scale)
    y, x = ((height - h) // 2, (width - w) // 2) if centred else (0, 0)
    canvas = np.full((height, width, 3), 114, np.uint8)
    canvas[y : y + h, x : x + w] = cv2.resize(frame, (w, h))
    return canvas, scale, x, y


def suppress(centres_N4, scores_NC):
    """Boxes as x, y, width, height, their classes and scores."""
    labels, scores = scores_NC.argmax(1), scores_NC.max(1)
    good = scores >= SCORE
    boxes, labels, scores = centres_N4[good].copy(), labels[good], scores[good]
    boxes[:, :2] -= boxes[:, 2:] / 2
    kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), labels.tolist(), SCORE, IOU)
    return boxes[kept], labels[kept], scores[kept]


def draw(frame, found, scale, x, y):
    for (left, top, w, h), label, score in zip(*found, strict=True):
        left, top, right, bottom = (int(v) for v in np.array([left - x, top - y, left - x + w, top - y + h]) / scale)
        cv2.rectangle(frame, (left, top), (right, bottom), (0, 255, 0), 2)
        cv2.putText(frame, f"{label} {score:.2f}", (left, top - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 255, 0), 1)
    return frame


def yolox(session, height, width):
    cells, strides = [], []
    for stride in (8, 16, 32):
        ys, xs = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([xs, ys], 2).reshape(-1, 2))
        strides.append(np.full((xs.size, 1), stride))
    cells, strides = np.concatenate(cells), np.concatenate(strides)
    name = session.get_inputs()[0].name

    def label(frame):
        canvas, scale, x, y = letterbox(frame, height, width, centred=False)
        rows = session.run(None, {name: cv2.dnn.blobFromImage(canvas)})[0][0]
        centres = np.concatenate([(rows[:, :2] + cells) * strides, np.exp(rows[:, 2:4]) * strides], 1)
        return draw(frame, suppress(centres, rows[:, 4:5] * rows[:, 5:]), scale, x, y)

    return label


def yolov8(session, height, width):
    name = session.get_inputs()[0].name

    def label(frame):
        canvas, scale, x, y = letterbox(frame, height, width, centred=True)
        rows = session.run(None, {name: cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)})[0][0].T
        return draw(frame, suppress(rows[:, :4], rows[:, 4:]), scale, x, y)

    return label


def classifier(session, height, width):
    name = session.get_inputs()[0].name

    def label(frame):
        image = cv2.dnn.blobFromImage(cv2.resize(frame, (width, height)), mean=MEAN, swapRB=True)
        image /= STD
        logits = session.run(None, {name: image})[0][0]
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        for row, best in enumerate(np.argsort(-scores)[:5]):
            text = f"{best} {scores[best]:.2f}"
            cv2.putText(frame, text, (8, 20 * row + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 0), 2)
        return frame

    return label


def open_callback(network, kind, height, width, threads=None):
    """A function that labels one frame, with as many threads as there are cores, or so many."""
    session = ort.InferenceSession(network, session_options(threads), providers=["CPUExecutionProvider"])
    label = {"yolox": yolox, "yolov8": yolov8, "classifier": classifier}[kind](session, int(height), int(width))
    for _ in range(3):
        label(np.zeros((480, 640, 3), np.uint8))
    return label


def open_writer(capture, output):
    """Writes a video like the one that is read."""
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    return cv2.VideoWriter(output, cv2.VideoWriter.fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), size)


def read(capture):
    """Its frames, one after the other."""
    while (got := capture.read())[0]:
        yield got[1]


def finish(capture, writer, frames, started):
    """Closes both files, and prints what the benchmark reads."""
    capture.release()
    writer.release()
    seconds = time.perf_counter() - started
    versions = {"onnxruntime": ort.__version__, "opencv": cv2.__version__}
    print(json.dumps({"frames": frames, "seconds": seconds, "versions": versions}))


def main(network, clip, output, kind, height, width):
    label = open_callback(network, kind, height, width)
    started, frames = time.perf_counter(), 0
    capture = cv2.VideoCapture(clip)
    writer = open_writer(capture, output)
    for frame in read(capture):
        writer.write(label(frame))
        frames += 1
    finish(capture, writer, frames, started)


if __name__ == "__main__":
    main(*sys.argv[1:])
