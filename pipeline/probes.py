"""Small trials of what the pipeline needs. Each returns what it found, in a few words; if that fails, it raises."""

from __future__ import annotations

import io
import platform
import socket
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pipeline.device import why_no_gpu
from pipeline.errors import OnsightError, SinkError
from pipeline.schedule import available_cores

# An ONNX file with a contract: one pixel goes in, its three numbers come out as the scores of three classes. In the
# notation of protobuf: ir_version 8, the graph probe with the nodes Flatten and Cast (to float), opset 18,
# the metadata.
PROBE_MODEL = (
    b'\x08\x08:y\n\x14\n\x06frames\x12\x01f"\x07Flatten\n\x1c\n\x01f\x12\x06scores"\x04Cast*\t\n\x02to\x18\x01\xa0\x01\x02'
    b"\x12\x05probeZ!\n\x06frames\x12\x17\n\x15\x08\x02\x12\x11\n\x03\x12\x01B\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x03"
    b"b\x19\n\x06scores\x12\x0f\n\r\x08\x01\x12\t\n\x03\x12\x01B\n\x02\x08\x03B\x04\n\x00\x10\x12r\x8d\x01\n\x07onsight\x12\x81\x01"
    b'{"version":1,"task":"classify","labels":["b","g","r"],"input":{"height":1,"width":1},'
    b'"resize":{"rule":"stretch"},"classifier":{}}'
)
# A grey picture of 64 x 64 pixels, as the one temporal unit of an AV1 stream.
_AV1_PICTURE = b"\x12\x00\n\n\x00\x00\x00\x02\xaf\xff\x8d_0\x082\r\x10\x00\xf0\x02?\xfe\x18C\x00\x00\x08\x98 "
_FRAMES = 5


def find_onsight() -> str:
    """The versions of Onsight, Python and the system."""
    return f"{version('onsight')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def count_cores() -> str:
    """How many cores there are to use."""
    cores = available_cores()
    return f"{cores} core{'s' if cores > 1 else ''} usable"


def find_runtime() -> str:
    """The version of ONNX Runtime and the providers it was built with."""
    from pipeline.session import available_providers

    names = ", ".join(name.removesuffix("ExecutionProvider") for name in available_providers())
    packages = [f"{name} {version(name)}" for name in ("onnxruntime-gpu", "onnxruntime") if installed(name)]
    return f"{' and '.join(packages) or 'of an unknown package'}, knows {names}"


def runtime_version() -> str:
    """The version of ONNX Runtime, whichever package it came with."""
    return next((version(name) for name in ("onnxruntime-gpu", "onnxruntime") if installed(name)), "unknown")


def infer(device: Literal["cpu", "cuda"]) -> str:
    """Runs a small model and compares its numbers."""
    import numpy as np

    from pipeline.model import OnnxModel

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "probe.onnx")
        path.write_bytes(PROBE_MODEL)
        outputs = OnnxModel(path, device, threads=1).infer(np.array([[[[1, 2, 3]]]], np.uint8))
    if outputs["scores"].tolist() != [[1, 2, 3]]:
        raise OnsightError(f"a small model gave wrong numbers: {outputs['scores'].tolist()}")
    return "a small model ran"


def find_gpu() -> str:
    """Names, memory and driver of the NVIDIA GPUs."""
    if reason := why_no_gpu():
        raise OnsightError(reason)
    return _name_gpus()


def _name_gpus() -> str:
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "there is one, but nvidia-smi does not say which"
    gpus = [line.rsplit(", ", 2) for line in answer.strip().splitlines()]
    return "; ".join(f"{name}, {memory}, driver {driver}" for name, memory, driver in gpus)


def infer_on_cuda() -> str:
    """Runs a small model on the GPU."""
    _load("cuda")
    return infer("cuda")


def load_tensorrt() -> str:
    """Loads the libraries of ONNX Runtime's TensorRT provider; building an engine would take too long."""
    _load("tensorrt")
    return "its libraries can be loaded"


def _load(device: Literal["cuda", "tensorrt"]) -> None:
    from pipeline.session import check_device

    if reason := check_device(device):
        raise OnsightError(reason)


def decode_h264() -> str:
    """Has OpenCV decode a small H.264 video."""
    import cv2

    from pipeline.sources.capture import decode

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "probe.mp4")
        path.write_bytes(_encode())
        frames = sum(1 for _ in decode(str(path), threads=1))
    if frames != _FRAMES:
        raise OnsightError(f"OpenCV {cv2.__version__} decoded {frames} of {_FRAMES} frames of H.264")
    return f"OpenCV {cv2.__version__} decoded a small video"


def encode_h264() -> str:
    """Has PyAV encode a small video with x264."""
    import av

    _encode()
    return f"PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info} encoded a small video"


def decode_on_gpu() -> str:
    """Has NVDEC decode a small H.264 video."""
    from pipeline.sources.nvdec import why_not

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "probe.mp4")
        path.write_bytes(_encode())
        if reason := why_not(str(path)):
            raise OnsightError(reason)
    return "it decoded a small video"


def encode_on_gpu() -> str:
    """Has NVENC encode a picture."""
    from pipeline.sinks.nvenc import why_no_nvenc

    if reason := why_no_nvenc():
        raise OnsightError(reason)
    return "h264_nvenc encoded a picture"


def _encode() -> bytes:
    """An mp4 in H.264 of `_FRAMES` frames that get brighter."""
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        for i in range(_FRAMES):
            grey = np.full((192 * 3 // 2, 256), 40 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def decode_av1() -> str:
    """Has PyAV decode a small AV1 picture, which OpenCV cannot."""
    import av

    decoder: Any = av.CodecContext.create("libdav1d", "r")
    if not [*decoder.decode(av.Packet(_AV1_PICTURE)), *decoder.decode(None)]:
        raise OnsightError("PyAV's libdav1d did not decode a small picture")
    return "PyAV's libdav1d decoded a small picture"


def ask_rtsp() -> str:
    """Has PyAV ask this process for a stream: its question shows that it speaks RTSP."""
    from pipeline.sources.connection import Lost, Stream

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        with suppress(Lost):
            Stream(f"rtsp://127.0.0.1:{server.getsockname()[1]}/", opening=0.4, reading=0.4).close()
        try:
            client, _ = server.accept()
            with client:
                client.settimeout(0.5)
                asked = client.recv(16)
        except TimeoutError:
            raise OnsightError("PyAV opens no RTSP connection") from None
    if not asked.startswith(b"OPTIONS rtsp://"):
        raise OnsightError(f"PyAV does not speak RTSP, it sent {asked!r}")
    return "PyAV speaks it through FFmpeg"


def find_display() -> str:
    """Looks for a display that `onsight run --show` could use."""
    import cv2

    from pipeline.sinks.window import WindowSink

    if not (framework := cv2.currentUIFramework()):
        raise OnsightError("this OpenCV was built without windows: install opencv-python, not opencv-python-headless")
    try:
        WindowSink("onsight doctor").close()
    except SinkError as error:
        raise OnsightError(str(error).rpartition(": ")[0]) from error
    return f"one can be opened with {framework}"


def installed(package: str) -> bool:
    """Whether a distribution of that name is there, without importing it."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
