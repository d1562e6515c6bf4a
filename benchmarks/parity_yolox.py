"""Does the runtime find what a plain decoding of the same network finds?

    uv run benchmarks/parity_yolox.py yolox_nano.onnx car-detection.mp4

Adopts the YOLOX network, runs the clip through `onsight run`, decodes the raw network frame by frame in plain NumPy,
and compares the boxes with score >= 0.3 both ways. Ends with 1 if fewer than 99 % match (IoU >= 0.95, same label, score
within 0.03), or if frames, duration or sound of the clip got lost.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime as ort

SIZE, SCORE, IOU = 416, 0.25, 0.45


def decode_plainly(session, image):
    """Boxes xyxy in frame pixels, labels and scores of one frame, by the book."""
    height, width = image.shape[:2]
    ratio = min(SIZE / height, SIZE / width)
    padded = np.full((SIZE, SIZE, 3), 114, np.uint8)
    small = cv2.resize(image, (int(width * ratio), int(height * ratio)), interpolation=cv2.INTER_LINEAR)
    padded[: small.shape[0], : small.shape[1]] = small
    raw = session.run(None, {"images": padded.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
    row = 0
    for stride in (8, 16, 32):
        for y in range(SIZE // stride):
            for x in range(SIZE // stride):
                raw[row, 0] = (raw[row, 0] + x) * stride
                raw[row, 1] = (raw[row, 1] + y) * stride
                raw[row, 2:4] = np.exp(raw[row, 2:4]) * stride
                row += 1
    scores = raw[:, 4:5] * raw[:, 5:]
    rows, labels = np.nonzero(scores >= SCORE)
    centre, size = raw[rows, :2], raw[rows, 2:4]
    boxes = np.hstack([centre - size / 2, centre + size / 2]) / ratio
    kept = suppress(boxes, scores[rows, labels], labels)
    boxes = boxes[kept].clip(0, [width, height, width, height])
    return list(zip(boxes, labels[kept], scores[rows, labels][kept], strict=True))


def suppress(boxes, scores, labels):
    kept = []
    for i in np.argsort(-scores):
        if all(labels[i] != labels[j] or overlap(boxes[i], boxes[j]) <= IOU for j in kept):
            kept.append(i)
    return np.array(kept, int)


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def count_matches(ours, theirs):
    """How many of `ours` with score >= 0.3 have a partner of their own in `theirs`."""
    free, matched = list(theirs), 0
    wanted = [one for one in ours if one[2] >= 0.3]
    for box, label, score in wanted:
        for other in free:
            if label == other[1] and abs(score - other[2]) <= 0.03 and overlap(box, other[0]) >= 0.95:
                free = [each for each in free if each is not other]
                matched += 1
                break
    return matched, len(wanted)


def describe(path):
    with av.open(str(path)) as container:
        sound = [sum(1 for packet in container.demux(stream) if packet.size) for stream in container.streams.audio]
        return container.duration / av.time_base, sound


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("clip", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, output, records = (Path(folder) / name for name in ("m.onnx", "labelled.mp4", "labelled.jsonl"))
        adopt = ["onsight", "adopt", arguments.network, "--family", "yolox", "--labels", "coco", "--output", model]
        run = ["onsight", "run", arguments.clip, "--model", model, "--output", output, "--records", records]
        for command in (adopt, run):
            subprocess.run([str(part) for part in command], check=True)
        lines = [json.loads(line) for line in records.read_text().splitlines()]
        before, after = describe(arguments.clip), describe(output)
        with av.open(str(output)) as container:
            written = sum(1 for _ in container.decode(video=0))

    session = ort.InferenceSession(str(arguments.network), providers=["CPUExecutionProvider"])
    capture = cv2.VideoCapture(str(arguments.clip))
    found, missing_base, extra_base, matched_there, matched_back = 0, 0, 0, 0, 0
    for line in lines:
        reference = decode_plainly(session, capture.read()[1])
        ours = [(np.array(one["box"]), one["label_id"], one["score"]) for one in line["results"]]
        hits, wanted = count_matches(reference, ours)
        matched_there, missing_base = matched_there + hits, missing_base + wanted
        hits, wanted = count_matches(ours, reference)
        matched_back, extra_base = matched_back + hits, extra_base + wanted
        found += len(ours)
    lost = capture.read()[0]

    print(f"frames: {len(lines)} records, {written} in the video; more in the clip: {lost}")
    print(f"boxes of the plain decoding found by the runtime: {matched_there} of {missing_base}")
    print(f"boxes of the runtime found by the plain decoding: {matched_back} of {extra_base} ({found} from 0.25)")
    print(f"duration: {before[0]:.3f} s before, {after[0]:.3f} s after; packets of sound: {before[1]} and {after[1]}")
    good = min(matched_there / max(missing_base, 1), matched_back / max(extra_base, 1)) >= 0.99
    kept = not lost and written == len(lines) and abs(before[0] - after[0]) < 0.05 and before[1] == after[1]
    sys.exit(0 if good and kept else 1)


if __name__ == "__main__":
    main()
