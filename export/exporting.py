"""`onsight export` and `onsight verify`: a file is made, tried, measured, and kept only if it is good."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from export.files import check_output, keep_file, make_files
from export.frames import FrameModel
from export.gate import TOLERANCES, Parity, compare, tolerance
from export.options import ExportOptions, Precision
from export.origin import Origin, Provenance
from export.pictures import find_pictures, fingerprint, photographs, spread
from export.quality import Quality, Truth, measure, open_truth
from export.speed import dump_timings, time_models
from pipeline.contract import ModelContract
from pipeline.errors import ConfigError, ContractError, ModelError
from pipeline.model import OnnxModel
from pipeline.sources.images import read_image
from pipeline.terms import Device

TRIED = 8  # pictures for the gate
CALIBRATED = 256  # pictures for int8

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export.

    `contract`: of the file. `parity`: of the file with the network. `sizes` in bytes, `timings` in milliseconds a frame
    on `device`, of the file and of the float32 file that it is compared with. `quality`: None if it was not measured.
    """

    contract: ModelContract
    precision: Precision
    parity: Parity
    sizes: Mapping[Precision, int]
    timings: Mapping[Precision, float]
    device: str
    quality: Quality | None


def export_model(origin: Origin, output: Path, options: ExportOptions, tell: Tell = lambda _: None) -> Exported:
    """Writes the model file `output`, if it does on real pictures what the network does; its timings beside it.

    Args:
        tell: is told what could not be measured.

    Raises:
        OnsightError: it cannot be exported or written, it differs, or it loses too much; no file is left then, an older
            one stays.
    """
    check_output(output, options.force)
    calibration = _calibration(options)
    truth, pictures = _open_data(options.data, origin, tell, needed=options.precision == "int8")
    contract = _with_resize(origin.contract, options)
    network = FrameModel(origin, resize=options.resize_in_graph)
    with TemporaryDirectory() as folder:
        files = make_files(origin, contract, options.precision, calibration, Path(folder))
        models = {precision: OnnxModel(path, options.device) for precision, path in files.items()}
        parity = _try(network, models["fp32"], "fp32", pictures)
        quality = None if truth is None else measure(truth, network, models)
        if quality is not None:
            _check_quality(quality, options, tell)
        if options.precision != "fp32":
            parity = _try(network, models[options.precision], options.precision, pictures)
        timings, device = time_models(models), models[options.precision].device
        allowed = tolerance(options.precision, device)
        contract = _with_results(contract, options.precision, parity, allowed, quality, calibration)
        keep_file(files[options.precision], contract, dump_timings(timings, device), output)
        sizes = {precision: path.stat().st_size for precision, path in files.items()}
    return Exported(contract, options.precision, parity, sizes, timings, device, quality)


def verify_model(path: Path, origin: Origin, data: Path | None = None, device: Device = "cpu") -> Parity:
    """Holds the model file `path` against the network that it should come from.

    Raises:
        OnsightError: other labels or another preprocessing, or it differs on the pictures.
    """
    model = OnnxModel(path, device)
    parts = ["task", "labels", "input", "classifier", "detector"]
    in_graph = model.contract.resize.rule == "graph"
    for part in parts if in_graph else [*parts, "resize"]:
        if getattr(model.contract, part) != getattr(origin.contract, part):
            raise ContractError(f"{path} is not that network: its contract has another part '{part}'; export it again")
    precision = model.contract.provenance.get("precision", "fp32")
    if not isinstance(precision, str) or precision not in TOLERANCES:
        raise ContractError(f"{path} has the unknown precision {precision!r}; export it again")
    _, pictures = _open_data(data, origin, lambda _: None, needed=False)
    return _try(FrameModel(origin, resize=in_graph), model, precision, pictures)


def _try(network: FrameModel, model: OnnxModel, precision: Precision, pictures: Sequence[Path] | None) -> Parity:
    images = photographs() if pictures is None else [read_image(path) for path in pictures]
    parity = compare(network, model, images, precision)
    untrained = model.contract.provenance.get("weights") == "none"
    if model.contract.task == "detect" and not parity.boxes and not untrained:
        raise ModelError(
            "the network finds nothing on these pictures that stands out, so that there was nothing to compare: "
            "give --data with pictures of what it finds"
        )
    return parity


def _check_quality(quality: Quality, options: ExportOptions, tell: Tell) -> None:
    if quality.skipped:
        tell(f"{len(quality.skipped)} of the pictures of --data are left out: {quality.skipped[0]}")
    before, after = quality.values["fp32"], quality.values[options.precision]
    if (drop := 100 * (before - after)) > options.max_drop + 1e-9:
        mend = "calibrate on more pictures, of those it will see" if options.precision == "int8" else "stay with fp32"
        raise ModelError(
            f"{options.precision} loses {drop:.1f} points of {quality.metric} ({100 * before:.1f} to "
            f"{100 * after:.1f} %), and {options.max_drop:g} may be lost: {mend}, or allow more with --max-drop"
        )


def _calibration(options: ExportOptions) -> list[Path]:
    if options.precision != "int8":
        if options.calibration is not None:
            raise ConfigError(f"--calibration is for int8; leave it out for {options.precision}")
        return []
    if options.calibration is None:
        raise ConfigError("int8 is calibrated on pictures: add --calibration with a folder of a few hundred of them")
    if options.data is None:
        raise ConfigError("int8 loses accuracy: add --data with pictures whose content is known, to see how much")
    return find_pictures(options.calibration, "--calibration", CALIBRATED)


def _open_data(data: Path | None, origin: Origin, tell: Tell, needed: bool) -> tuple[Truth | None, list[Path] | None]:
    """What `data` is known to show, None where nothing is, unless that is `needed`; and the pictures for the gate."""
    if data is None:
        return None, None
    try:
        truth = open_truth(data, origin.contract, origin.split)
    except ConfigError as error:
        if needed or not data.is_dir():
            raise
        tell(f"the quality is not measured: {error}")
        return None, find_pictures(data, "--data", TRIED)
    return truth, spread(truth.paths, TRIED)


def _with_resize(contract: ModelContract, options: ExportOptions) -> ModelContract:
    if not options.resize_in_graph:
        return contract
    told: Provenance = {**contract.provenance, "resize_in_graph": contract.resize.model_dump(mode="json")}
    resize = contract.resize.model_copy(update={"rule": "graph"})
    return contract.model_copy(update={"resize": resize, "provenance": told})


def _with_results(
    contract: ModelContract,
    precision: Precision,
    parity: Parity,
    allowed: float,
    quality: Quality | None,
    calibration: list[Path],
) -> ModelContract:
    """Only what is the same when the export is repeated."""
    told: Provenance = {"precision": precision, "parity": {"tolerance": allowed, "checks": parity.checks}}
    if calibration:
        told["calibration"] = {"pictures": len(calibration), "fingerprint": fingerprint(calibration)}
    if quality is not None:
        told["quality"] = quality.to_json()
    return contract.model_copy(update={"provenance": {**contract.provenance, **told}})
