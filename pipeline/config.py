"""What a run is asked to do: flags and YAML keys, validated by one model."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.durations import seconds
from pipeline.errors import ConfigError
from pipeline.terms import Decoder, Device, Encoder, Mode, Preset, RedactStyle

_LOG = logging.getLogger(__name__)

Fraction01 = Annotated[float, Field(ge=0, le=1)]


def _split(value: Any) -> Any:
    """`a,b` and `[a, b]` mean the same."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    values = [value] if isinstance(value, str | int | Path) else value
    return [_text(each) for each in values] if isinstance(values, list | tuple) else values


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _scores(value: Any) -> Any:
    """`a=0.5,b=0.4` and `{a: 0.5, b: 0.4}` mean the same."""
    if not isinstance(value, str):
        return value
    parts = [part.rpartition("=") for part in _split(value)]
    scores = {name.strip(): score.strip() for name, _, score in parts}
    if not all(scores):
        raise ValueError("write CLASS=SCORE, with commas between them, as in person=0.5,car=0.4")
    if len(scores) < len(parts):
        raise ValueError("a class comes twice")
    return scores


def parse_tiles(value: Any) -> tuple[int, int]:
    """Columns and rows.

    Raises:
        ValueError: it does not say them.
    """
    found = re.fullmatch("([1-8])x([1-8])", str(value))
    if found is None:
        raise ValueError("write COLUMNSxROWS, each from 1 to 8, as in 2x2")
    return int(found[1]), int(found[2])


def _unless_auto(value: Any) -> Any:
    return None if value == "auto" else value


Batch = Annotated[Annotated[int, Field(gt=0, le=256)] | None, BeforeValidator(_unless_auto)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
PathText = Annotated[str, BeforeValidator(_text)]
Scores = Annotated[Mapping[str, Fraction01], BeforeValidator(_scores)]
Duration = Annotated[float, BeforeValidator(lambda value: seconds(str(value))), Field(ge=0)]
"""Seconds; as text with units, too: `30s`, `1h30m`, `14d`."""
BatchWait = Annotated[Annotated[Duration, Field(le=1)] | None, BeforeValidator(_unless_auto)]
Tiles = Annotated[tuple[int, int], BeforeValidator(parse_tiles)]
Sources = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
Workers = Annotated[Annotated[int, Field(gt=0, le=64)] | None, BeforeValidator(_unless_auto)]


class Recognition(BaseModel):
    """The model, and what is wanted of it. None: its contract decides."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    model: PathText
    device: Device = "auto"
    threshold: Fraction01 | None = None
    class_thresholds: Scores = Field(default_factory=dict)
    iou: Fraction01 | None = None
    top_k: Annotated[int, Field(gt=0)] | None = None
    classes: Names = ()
    tiles: Tiles | None = None
    track: bool = False
    every: Annotated[int, Field(gt=0)] = 1
    motion_gate: bool = False
    motion_threshold: Fraction01 | None = None
    then: PathText | None = None
    on: Names = ()
    redact: Names = ()
    redact_model: PathText | None = None
    redact_style: RedactStyle = "blur"
    draw: bool = True
    status: bool = False
    batch: Batch = None
    batch_wait: BatchWait = None
    cuda_graph: bool = False
    nhwc: bool = False

    @property
    def hides(self) -> bool:
        """Whether anything is hidden in the pictures."""
        return bool(self.redact) or self.redact_model is not None

    @property
    def gated(self) -> bool:
        """Whether there may be frames at which the model does not look."""
        return self.every > 1 or self.motion_gate

    def check(self) -> None:
        """Raises ConfigError where two choices do not go together."""
        if self.on and not self.then:
            raise ConfigError("'on' needs 'then': a second model, which looks at the boxes of these classes")
        if self.motion_threshold is not None and not self.motion_gate:
            raise ConfigError("'motion_threshold' needs 'motion_gate', which looks for motion")
        if self.batch_wait and (self.batch == 1 or (self.batch is None and self.device == "cpu")):
            raise ConfigError("'batch_wait' needs 'batch', 2 or more: how many frames may share an inference")
        for key in ("cuda_graph", "nhwc"):
            if getattr(self, key) and self.device not in ("auto", "cuda"):
                raise ConfigError(f"'{key}' does not go with the device {self.device}: it is for --device cuda")
        if self.gated and self.hides:
            key, other = "every" if self.every > 1 else "motion_gate", "redact" if self.redact else "redact_model"
            raise ConfigError(f"'{key}' does not go with '{other}': what the model does not look at cannot be hidden")


class RunConfig(Recognition):
    """Everything that `onsight run` can be told. None: the model's contract or the kind of source decides."""

    sources: Sources
    decoder: Decoder = "cpu"
    output: PathText | None = None
    encoder: Encoder = "x264"
    preset: Preset = "auto"
    records: PathText | None = None
    zones: PathText | None = None
    counts: PathText | None = None
    counts_every: Annotated[Duration, Field(gt=0)] | None = None
    events: PathText | None = None
    heatmap: PathText | None = None
    masks: PathText | None = None
    show: bool = False
    mode: Mode = "auto"
    workers: Workers = None
    progress: bool = True
    json_summary: Annotated[bool, Field(alias="json")] = False


def build_config(flags: dict[str, Any], file: Path | None = None) -> RunConfig:
    """The configuration of a run: the keys of `file` (YAML), overruled by `flags`.

    Raises:
        ConfigError: an unreadable file, an unknown key or a value that does not fit.
    """
    values = {**(read_yaml(file) if file else {}), **flags}
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, file)) from None
    config.check()
    if config.output is None and config.preset != "auto":
        raise ConfigError("'preset' needs 'output': it is how hard the encoder of the labelled video works")
    if config.output is None and config.encoder != "x264":
        raise ConfigError("'encoder' needs 'output': it is what encodes the labelled video")
    if config.encoder == "nvenc" and config.preset != "auto":
        raise ConfigError("'preset' does not go with the encoder nvenc: it is how hard x264 works")
    if config.cuda_graph:
        decoder, encoder = beside_cuda_graph(config.decoder, config.encoder)
        config = config.model_copy(update={"decoder": decoder, "encoder": encoder})
    if config.zones and not config.track:
        raise ConfigError("'zones' needs 'track': who enters, leaves or crosses is known of tracked objects alone")
    for key in ("counts", "events"):
        if getattr(config, key) and not config.zones:
            raise ConfigError(f"'{key}' needs 'zones': a file that says where to count")
    if config.counts_every and not config.counts:
        raise ConfigError("'counts_every' needs 'counts': the table that gets rows so often")
    return config


def beside_cuda_graph(decoder: Decoder, encoder: Encoder) -> tuple[Decoder, Encoder]:
    """What decodes and encodes beside CUDA graphs, while whose recording nothing else may use CUDA: the CPU for `auto`,
    which is logged.

    Raises:
        ConfigError: the GPU is named.
    """
    for key, given, other in (("decoder", decoder, "cpu"), ("encoder", encoder, "x264")):
        if given not in (other, "auto"):
            raise ConfigError(
                f"'cuda_graph' does not go with the {key} {given}: nothing else may use CUDA meanwhile; "
                f"use --{key} {other} or auto"
            )
    for what, given in (("decoded on the CPU", decoder), ("encoded on the CPU, with x264", encoder)):
        if given == "auto":
            _LOG.warning("videos are %s: nothing else may use CUDA beside 'cuda_graph'", what)
    return "cpu", "x264"


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice, of which YAML's loader would keep the last, and reads the key `on` as text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for index, name in enumerate(names):
            if name in names[:index] and name != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{name}' comes twice", node.value[index][0].start_mark
                )
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":  # YAML 1.1 takes `on` for true
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def read_yaml(file: Path, what: str = "configuration") -> dict[str, Any]:
    """The keys and values of a YAML file; an empty one has none. In keys of the top, `-` is read as `_`.

    Raises:
        ConfigError: it cannot be read, is not valid, has a key twice or holds something else than keys and values; the
            message calls it `what`.
    """
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"the {what} {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"the {what} {file} is not valid YAML{where}: {problem}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"the {what} {file} must hold keys and values, not a {type(values).__name__}")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def to_yaml(values: Mapping[str, Any]) -> str:
    """The text of a YAML file of these keys and values."""
    return yaml.safe_dump(dict(values), allow_unicode=True)


def suggest_key(key: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown key."""
    near = get_close_matches(key, known)
    same_letters = [each for each in near if sorted(each) == sorted(key)]
    return f"did you mean '{(same_letters or near)[0]}'?" if near else f"known are: {', '.join(known)}"


def _explain(error: ValidationError, file: Path | None) -> str:
    # An unknown key first: it may be why another is missing.
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    key = str(first["loc"][0]) if first["loc"] else ""
    origin = f" (flags or {file})" if file else ""
    if first["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in RunConfig.model_fields.items()]
        return f"unknown key '{key}'{origin}; {suggest_key(key, known)}"
    if first["type"] == "missing":
        needed = {
            "sources": "a source: a video, an image, a folder, a camera index or a URL",
            "model": "--model FILE.onnx",
        }
        return f"nothing to run without {needed[key]}"
    reason = first["msg"].removeprefix("Value error, ")
    return f"'{key}' cannot be {first['input']!r}: {reason[0].lower()}{reason[1:]}{origin}"
