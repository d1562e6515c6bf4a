"""What `gpu.py` measures: ways to have the same frames inferred, each a call that is repeated and timed."""

import threading
import time
from functools import cache, partial
from importlib import import_module

import numpy as np

from pipeline import cuda, schedule, session
from pipeline.contract import read_contract
from pipeline.model import OnnxModel
from pipeline.recogniser import Recogniser
from pipeline.redact import Redactor
from pipeline.settings import settle
from pipeline.stream import journey
from pipeline.tally import Tally
from pipeline.trip import painter
from pipeline.types import Frame, Media

DEVICE = "cuda"
HEURISTIC, EXHAUSTIVE = ({"cudnn_conv_algo_search": each} for each in ("HEURISTIC", "EXHAUSTIVE"))
NHWC = {"prefer_nhwc": "1"}
CAMERA = (720, 1280)


@cache
def open_bare(path, *options):
    return session.open_session(path, DEVICE, 0, {"CUDAExecutionProvider": dict(options)})


@cache
def open_model(path, *, cuda_graph=False, nhwc=False):
    return OnnxModel(path, DEVICE, cuda_graph=cuda_graph, nhwc=nhwc)


def bare(path, batch, options, *, copied=False, number=None):
    """ONNX Runtime with I/O binding, as its documentation does it. `number`: of the CUDA graph to record."""
    import onnxruntime as ort

    opened = open_bare(path, *options.items())
    shape, outputs = shape_of(opened, batch), [each.name for each in opened.get_outputs()]
    host = cuda.pinned(int(np.prod(shape))).reshape(shape)
    host[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    value = ort.OrtValue.ortvalue_from_numpy(host, DEVICE, 0)
    io = opened.io_binding()
    io.bind_ortvalue_input("frames", value)
    for name in outputs:
        io.bind_output(name, DEVICE)
    opened.run_with_iobinding(io, session.graph_options(-1))
    kept = io.get_outputs()  # bound where they are from now on
    for name, output in zip(outputs, kept, strict=True):
        io.bind_ortvalue_output(name, output)
    run_options = None if number is None else session.graph_options(number)
    for _ in range(4):
        opened.run_with_iobinding(io, run_options)

    def call():
        if copied:
            value.update_inplace(host)
        opened.run_with_iobinding(io, run_options)
        if copied:
            io.copy_outputs_to_cpu()

    call.keeps = kept
    return call


def shape_of(opened, batch):
    """A dynamic height or width is that of the contract."""
    size = read_contract(opened.get_modelmeta().custom_metadata_map, "the model").input
    return (batch, size.height, size.width, 3)


def plain(path, batch):
    opened = open_bare(path, *HEURISTIC.items())
    names = [each.name for each in opened.get_outputs()]
    frames = np.random.default_rng(0).integers(0, 256, shape_of(opened, batch), dtype=np.uint8)
    return lambda: opened.run(names, {"frames": frames})


def slot(model, batch):
    """What a worker does with a batch: the pinned buffer is that of its recogniser."""
    size = model.contract.input
    model.prepare(batch)

    def make():
        frames = cuda.pinned(batch * size.height * size.width * 3).reshape(batch, size.height, size.width, 3)
        frames[:] = np.random.default_rng(0).integers(0, 256, frames.shape, dtype=np.uint8)
        return partial(model.infer, frames)

    return make


class Memory:
    """A source whose frames are there already; ends when `stop` is set."""

    stream, name = 0, "memory"
    media = Media()

    def __init__(self, height, width):
        random = np.random.default_rng(0)
        self._images = [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(16)]

    def close(self):
        pass

    def frames(self, stop):
        index = 0
        while not stop.is_set():
            yield Frame(self._images[index % 16], self.name, index, index / 30)
            index += 1


def untouched(contract):
    """Height and width of frames that the network sees as they are, but for what it cuts off."""
    size, seen = contract.input, contract.resize.crop_pct
    return int(size.height / seen), int(size.width / seen)


def pipeline(model, batch, size, workers, seconds):
    """Frames a second that come out of the journey, without drawing and sinks."""
    plan = schedule.plan(latency=False, gpu=True, batch=batch, workers=workers)
    model.prepare(plan.batch)
    recognisers = [Recogniser(model, settle(model.contract)) for _ in range(plan.workers)]
    stop, tally = threading.Event(), Tally("memory")
    paint = painter(False, False, frozenset())
    with schedule.opencv_threads(plan.opencv):
        frames = journey([Memory(*size)], recognisers, [], Redactor(False, "blur"), paint, [tally], stop, plan)
        for _ in range(4 * batch * plan.workers):
            next(frames)
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            next(frames)
            count += 1
        stop.set()
        frames.close()
    return count / spent


def torch_contenders(network, size, batch, modes):
    """The network with what the file does around it: colours, normalisation, probabilities."""
    import torch

    package, _, name = network.partition(":")
    torch.backends.cudnn.benchmark = True
    torch._dynamo.reset()  # what was compiled for another batch, which would make this one's size a variable
    if package == "torchvision":
        net = import_module("torchvision.models").get_model(name, weights=None)
    else:
        net = import_module("timm").create_model(name, pretrained=False)
    net = net.eval().cuda().half().to(memory_format=torch.channels_last)
    mean = torch.tensor([123.675, 116.28, 103.53], device="cuda").view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375], device="cuda").view(1, 3, 1, 1)

    def forward(frames):
        pictures = frames.permute(0, 3, 1, 2).flip(1).float()
        pictures = ((pictures - mean) / std).half().contiguous(memory_format=torch.channels_last)
        found = net(pictures)
        return found.float().softmax(1) if isinstance(found, torch.Tensor) else found

    frames = torch.randint(0, 256, (batch, *size, 3), dtype=torch.uint8, device="cuda")

    def contender(run):
        def call():
            with torch.inference_mode():
                run(frames)
            torch.cuda.synchronize()

        for _ in range(5):
            call()
        return call

    yield "torch eager fp16", lambda: contender(forward)
    for mode in modes:
        compiled = torch.compile(forward, mode=mode, dynamic=False)
        yield f"torch.compile fp16, {mode}", partial(contender, compiled)
