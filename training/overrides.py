"""From a YAML file and `key=value` words to one validated model, or one line that says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes `1e-3` for a word; here it is the number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def read_values(file: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keys and values of a YAML file, with `overrides` such as `optimiser.lr=0.1` on top.

    Raises:
        ConfigError: an unreadable file, or an override that is no `key=value`.
    """
    values = _read_yaml(file)
    for word in overrides:
        key, text = split_override(word)
        _put(values, key, parse(text, word))
    return values


def split_override(word: str) -> tuple[str, str]:
    """Key and text of `key=text`.

    Raises:
        ConfigError: it has another form.
    """
    key, equals, text = word.partition("=")
    if not equals or not key or not all(key.split(".")):
        raise ConfigError(f"'{word}' is no override; write key=value, for example optimiser.lr=0.1")
    return key, text


def parse(text: str, where: str) -> Any:
    """The value that `text` has in YAML."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of '{where}' is not valid YAML{_problem(error)}") from None


def validate(model: type[Model], values: dict[str, Any], origin: str) -> Model:
    """`values`, read from `origin`, as a `model`.

    Raises:
        ConfigError: an unknown or missing key, or a value that does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, model, origin)) from None


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a model and its parts."""
    for name, field in model.model_fields.items():
        parts = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        part = next((kind for kind in parts if issubclass(kind, BaseModel)), None)
        if part is None:
            yield prefix + name
        else:
            yield from known_keys(part, f"{prefix}{name}.")


def suggest(key: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for a word that is none of `known`, or what is known at its place."""
    parent, _, leaf = key.rpartition(".")
    same_leaf = [each for each in known if each.rpartition(".")[2] == leaf]
    here = sorted(
        {
            each.removeprefix(f"{parent}." if parent else "").partition(".")[0]
            for each in known
            if each.startswith(parent)
        }
    )
    near = same_leaf or [f"{parent}.{each}".strip(".") for each in get_close_matches(leaf, here, n=1)]
    near = near or get_close_matches(key, known, n=1, cutoff=0.7)
    return f"; did you mean '{near[0]}'?" if near else f"; known are: {', '.join(here)}"


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"the recipe {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recipe {file} is not valid YAML{_problem(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"the recipe {file} must hold keys and values, not a {type(values).__name__}")
    return values


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}" if mark else ""
    return f"{where}: {getattr(error, 'problem', None) or str(error).partition(chr(10))[0]}"


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"'{key}' cannot be set: '{parent}' is a value of its own")
        values = inner
    values[last] = value


def _explain(error: ValidationError, model: type[BaseModel], origin: str) -> str:
    # An unknown key first: it may be why another is missing.
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}' (flags or {origin}){suggest(key, list(known_keys(model)))}"
    if first["type"] == "missing":
        return f"'{key}' is missing: write it into {origin}, or on the command line as {key}=…"
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"'{key}' (flags or {origin}): {what}" if key else f"{origin}: {what}"
    return f"'{key}' cannot be {first['input']!r}: {what[0].lower()}{what[1:]} (flags or {origin})"
