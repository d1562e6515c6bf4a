"""Model files: made in each precision, checked, and given their names when all is well."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx

from export.frames import FrameModel
from export.graph import LARGEST_FILE, first_line
from export.network import to_onnx
from export.options import Precision
from export.origin import Origin
from export.pictures import as_inputs
from export.quantise import quantise
from pipeline.contract import ModelContract
from pipeline.errors import ModelError, SinkError
from pipeline.sinks.partial import check_file, writing


def check_output(output: Path, force: bool) -> None:
    """Whether a model file can be written there.

    Raises:
        SinkError: another suffix, no such folder, or a file of the name that is not to be replaced.
    """
    check_file(output, {".onnx"})
    check_file(timings_path(output), {".json"})
    if output.exists() and not force:
        raise SinkError(f"{output} exists: give another name, or --force to replace it")


def timings_path(output: Path) -> Path:
    """The file beside the model `output` that keeps its timings."""
    return output.with_name(f"{output.stem}.timings.json")


def make_files(
    origin: Origin, contract: ModelContract, precision: Precision, calibration: Sequence[Path], folder: Path
) -> dict[Precision, Path]:
    """Writes the float32 file and that of `precision` into `folder`.

    Args:
        contract: of the files; with the rule `graph` they resize.
        calibration: pictures for int8.

    Raises:
        ModelError: it cannot be exported or quantised. SinkError: the files cannot be written.
    """
    in_graph = contract.resize.rule == "graph"
    models: dict[Precision, onnx.ModelProto] = {"fp32": to_onnx(FrameModel(origin, resize=in_graph), contract)}
    if precision == "fp16":
        models["fp16"] = to_onnx(FrameModel(origin, half=True, resize=in_graph), contract)
    elif precision == "int8":
        models["int8"] = quantise(models["fp32"], as_inputs(calibration, contract))
    files: dict[Precision, Path] = {}
    for name, model in models.items():
        files[name] = folder / f"{name}.onnx"
        with writing(files[name]):
            _save(model, contract, files[name])
    return files


def keep_file(file: Path, contract: ModelContract, timings: str, output: Path) -> None:
    """Writes `file` with another `contract` as `output`, and `timings` beside it, each as a whole.

    Both are on the disk before the first of them, the model, gets its name.

    Raises:
        SinkError: they cannot be written.
    """
    with _aside(timings_path(output)) as beside, _aside(output) as partial:
        beside.write_text(timings, encoding="utf-8")
        _save(onnx.load(file), contract, partial)


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name to write under; the file gets its own if the body succeeds. Another process may write the same file."""
    partial = path.with_name(f"{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        with writing(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _save(model: onnx.ModelProto, contract: ModelContract, path: Path) -> None:
    onnx.helper.set_model_props(model, contract.to_metadata())
    if (size := model.ByteSize()) > LARGEST_FILE:
        raise ModelError(f"the network has {size / 1e9:.1f} GB, more than the 2 GB that one ONNX file can hold")
    path.write_bytes(model.SerializeToString(deterministic=True))
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the exported graph is not valid: {first_line(error)}") from error
