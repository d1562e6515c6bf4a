"""What a run is asked to do: flags and YAML keys, validated by one model."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.errors import ConfigError
from pipeline.terms import Device, RedactStyle

Fraction01 = Annotated[float, Field(ge=0, le=1)]


def _split(value: Any) -> Any:
    """`a,b` and `[a, b]` mean the same."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    values = [value] if isinstance(value, str | int | Path) else value
    return [_text(each) for each in values] if isinstance(values, list | tuple) else values


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
PathText = Annotated[str, BeforeValidator(_text)]
Sources = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class RunConfig(BaseModel):
    """Everything that `onsight run` can be told. None: the model's contract or the kind of source decides."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    sources: Sources
    model: PathText
    output: PathText | None = None
    records: PathText | None = None
    show: bool = False
    device: Device = "auto"
    threshold: Fraction01 | None = None
    iou: Fraction01 | None = None
    top_k: Annotated[int, Field(gt=0)] | None = None
    classes: Names = ()
    redact: Names = ()
    redact_style: RedactStyle = "blur"
    draw: bool = True
    status: bool = False
    batch: Annotated[int, Field(gt=0, le=256)] = 1
    progress: bool = True
    json_summary: Annotated[bool, Field(alias="json")] = False


def build_config(flags: dict[str, Any], file: Path | None = None) -> RunConfig:
    """The configuration of a run: the keys of `file` (YAML), overruled by `flags`.

    Raises:
        ConfigError: an unreadable file, an unknown key or a value that does not fit.
    """
    values = {**(_read_yaml(file) if file else {}), **flags}
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, file)) from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"the configuration {file} is not valid YAML{where}: {what}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration {file} must hold keys and values, not a {type(values).__name__}")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def _explain(error: ValidationError, file: Path | None) -> str:
    # An unknown key first: it may be why another is missing.
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    key = str(first["loc"][0]) if first["loc"] else ""
    origin = f" (flags or {file})" if file else ""
    if first["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in RunConfig.model_fields.items()]
        near = get_close_matches(key, known, n=1)
        return f"unknown key '{key}'{origin}" + (
            f"; did you mean '{near[0]}'?" if near else f"; known are: {', '.join(known)}"
        )
    if first["type"] == "missing":
        needed = {
            "sources": "a source: a video, an image, a folder, a camera index or a URL",
            "model": "--model FILE.onnx",
        }
        return f"nothing to run without {needed[key]}"
    return f"'{key}' cannot be {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}{origin}"
