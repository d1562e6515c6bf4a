"""What works on this machine and what is missing. Every check does the thing itself, on something tiny."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import metadata, requires, version
from importlib.util import find_spec
from typing import Any

import click

from pipeline import probes
from pipeline.errors import OnsightError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    Args:
        name: what was tried.
        works: whether it did.
        needed: whether `onsight run` of a file on the CPU needs it.
        detail: versions and names if it works, the reason if not; one line.
        remedy: what to do about it; None if it works or nothing can be done.
    """

    name: str
    works: bool
    needed: bool
    detail: str
    remedy: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Finding]:
    """Tries everything, in about a second where there is no GPU. Raises nothing and leaves nothing behind."""
    return [*_core(), *_graphics(), *_media(), *_extras()]


def print_findings(findings: Sequence[Finding]) -> None:
    """Prints a line for each finding, a second one with the remedy, and the verdict."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark, colour = ("works", "green") if finding.works else ("FAILS", "red") if finding.needed else ("no", "yellow")
        click.echo(f"{click.style(f'{mark:5}', fg=colour)}  {finding.name:{width}}  {finding.detail}")
        if finding.remedy:
            click.echo(f"{'':{width + 9}}to mend: {finding.remedy}")
    broken = [finding.name for finding in findings if finding.needed and not finding.works]
    click.echo()
    click.echo(f"Needed and not working: {', '.join(broken)}." if broken else "All that `onsight run` needs is there.")


def attempt(name: str, probe: Callable[[], str], remedy: str | None = None, needed: bool = False) -> Finding:
    """Calls `probe`, which returns what works and raises anything if it does not; that is then what was found."""
    try:
        return Finding(name, True, needed, probe())
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        if isinstance(error, ImportError) and ".so" in reason:
            remedy = "install the system library, on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
        return Finding(name, False, needed, reason or type(error).__name__, remedy)


def _core() -> Iterator[Finding]:
    package = "onnxruntime-gpu[cuda,cudnn]" if probes.installed("onnxruntime-gpu") else "onnxruntime"
    yield attempt("Onsight", probes.find_onsight, "`pip install .` in the folder of Onsight", needed=True)
    yield attempt("CPU", probes.count_cores, needed=True)
    yield attempt("ONNX Runtime", probes.find_runtime, _reinstall(package), needed=True)
    yield attempt("inference on CPU", lambda: probes.infer("cpu"), _reinstall(package), needed=True)


def _graphics() -> Iterator[Finding]:
    driver = "install the NVIDIA driver (nvidia.com/drivers); a container also needs `--gpus all`"
    cuda = _reinstall("onnxruntime-gpu[cuda,cudnn]")
    tensorrt = f"{_install('tensorrt-cu13-libs<11')}, and add its folder tensorrt_libs to the library search path"
    nvdec = "update the NVIDIA driver; a container also needs NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
    nvenc = "update the NVIDIA driver; some data centre GPUs, such as A100 and H100, have no encoder"
    gpu = attempt("NVIDIA GPU", probes.find_gpu, None if sys.platform == "darwin" else driver)
    yield gpu
    for name, probe, remedy in (
        ("inference on CUDA", probes.infer_on_cuda, cuda),
        ("TensorRT", probes.load_tensorrt, tensorrt),
        ("NVDEC", probes.decode_on_gpu, nvdec),
        ("NVENC", probes.encode_on_gpu, nvenc),
    ):
        yield attempt(name, probe, remedy) if gpu.works else Finding(name, False, False, "needs an NVIDIA GPU")


def _media() -> Iterator[Finding]:
    opencv, pyav = _reinstall("opencv-python"), _reinstall("av")
    yield attempt("OpenCV, H.264", probes.decode_h264, opencv, needed=True)
    yield attempt("PyAV, libx264", probes.encode_h264, pyav, needed=True)
    yield attempt("AV1", probes.decode_av1, pyav)
    yield attempt("RTSP", probes.ask_rtsp, pyav)
    yield attempt("window", probes.find_display, "run on a desktop (or with ssh -X), or write to a file with --output")


def _extras() -> Iterator[Finding]:
    if not probes.installed("onsight"):
        return
    for extra in metadata("onsight").get_all("Provides-Extra", []):
        wanted = _requirements(extra)
        missing = [requirement for name, requirement in wanted.items() if not probes.installed(name)]
        yield attempt(f"extra {extra}", partial(_versions, list(wanted)), _install(*missing))


def _requirements(extra: str) -> dict[str, str]:
    """For each package of an extra the requirement, for example `onnx>=1.19`."""
    lines = [line.partition(";") for line in requires("onsight") or []]
    wanted = [line.strip() for line, _, marker in lines if f"extra == '{extra}'" in marker.replace('"', "'")]
    return {re.split(r"[^\w.-]", line)[0]: line for line in wanted}


def _versions(packages: Sequence[str]) -> str:
    if missing := [name for name in packages if not probes.installed(name)]:
        raise OnsightError(f"not installed: {', '.join(missing)}")
    return ", ".join(f"{name} {version(name)}" for name in packages)


def _install(*requirements: str) -> str:
    return f"{'pip' if find_spec('pip') else 'uv pip'} install {shlex.join(requirements)}"


def _reinstall(requirement: str) -> str:
    return _install("--force-reinstall" if find_spec("pip") else "--reinstall", requirement)
