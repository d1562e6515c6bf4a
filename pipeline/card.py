"""The model card, in sections: above all provenance, put into words.

Provenance is any JSON object. Keys that `onsight export` and `onsight adopt` write, listed in docs/contract.md, get
words of their own. Others, and values of another type than expected, are shown as they are: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

Row: TypeAlias = tuple[str, str]
Entries: TypeAlias = dict[str, JsonValue]

_MODEL = (
    *("model", "weights", "weights_sha256", "source", "source_sha256", "options", "precision", "calibration"),
    *("author", "onsight", "versions", "exported_with", "resize_in_graph"),
)
_TERMS = {"licence": ("licence", "license"), "intended use": ("intended_use",), "limits": ("limits",)}
_QUALITY = ("metrics", "quality", "parity", "temperature")
_TRAINING = ("trained_on", "data_fingerprint", "checkpoint", "checkpoint_sha256", "git_commit", "recipe")
_KNOWN = {"name", *_MODEL, *_QUALITY, *_TRAINING}.union(*_TERMS.values())
_WORDS = {
    "model": "network",
    "options": "adopted with",
    "calibration": "int8 calibration",
    "onsight": "Onsight version",
    "versions": "made with",
    "temperature": "calibration temperature",
}
_MEASURES = {
    "accuracy": "accuracy",
    "top5": "top 5",
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "weighted_f1": "weighted F1",
    "ece": "calibration error",
    "map": "mAP",
    "map50": "mAP50",
    "map75": "mAP75",
}
_POOLED = {"precision": "precision", "recall": "recall", "f1": "F1"}  # of a detector: all classes together

# Of a recipe, the card leaves out how the work was done, what is off, factors of 1, and what a choice makes moot.
_MACHINERY = {"layout", "workers", "cache", "accelerator", "devices", "strategy"}
_ALWAYS = {"seed", "weights"}
_NEUTRAL = {"accumulate", "layer_decay", "mix_chance", "nodes", "validate_every"}
_UNUSED = {
    **dict.fromkeys(("name adam", "name adamw"), ("momentum", "nesterov", "fallback")),
    "name sgd": ("betas", "fallback"),
    **dict.fromkeys(("name cosine", "name linear"), ("rise", "steps", "gamma")),
    "name one-cycle": ("warmup", "steps", "gamma"),
    "name step": ("final", "rise"),
    "name constant": ("final", "rise", "steps", "gamma"),
    "crop random-resized": ("padding",),
    "crop pad": ("scale", "ratio"),
    "crop none": ("scale", "ratio", "padding"),
    **dict.fromkeys(("policy none", "policy trivial"), ("rand_ops", "rand_magnitude")),
    "backbone None": ("width", "depth"),
    "zoom_out 0.0": ("zoom_sides",),
    "iou_crop 0.0": ("crop_sides",),
}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the rows below it: name and text; the text may have several lines."""

    title: str
    rows: tuple[Row, ...]


def make_card(provenance: Entries, model: Iterable[Row], tensors: Iterable[Row]) -> list[Section]:
    """The card of a model file; a section without rows is left out.

    Args:
        provenance: of the contract.
        model: what the contract says of the model as a whole.
        tensors: what it says of input and output.
    """
    sections: dict[str, Iterable[Row]] = {
        "Model": (*_tell(provenance, ["name"]), *model, *_tell(provenance, _MODEL)),
        "Intended use and limits": _tell_terms(provenance),
        "Quality": _tell(provenance, _QUALITY),
        "Training": _tell(provenance, _TRAINING),
        "Input and output": tensors,
        "More": _tell(provenance, [key for key in provenance if key not in _KNOWN]),
    }
    made = [Section(title, tuple(rows)) for title, rows in sections.items()]
    return [section for section in made if section.rows]


def _tell(provenance: Entries, keys: Iterable[str]) -> Iterator[Row]:
    tellers = {"metrics": _metrics, "parity": _parity, "quality": _quality, "recipe": _recipe}
    for key in [key for key in keys if key in provenance]:
        value = provenance[key]
        if key in tellers and isinstance(value, dict) and value:
            yield from tellers[key](value)
        else:
            yield _WORDS.get(key, _words(key)), _plain(value)


def _tell_terms(provenance: Entries) -> Iterator[Row]:
    """Whoever uses a model has to know these three; where they are missing, the card says so."""
    for name, keys in _TERMS.items():
        values = [provenance[key] for key in keys if provenance.get(key)]
        texts = ["\n".join(map(_plain, value)) if isinstance(value, list) else _plain(value) for value in values]
        yield name, "\n".join(dict.fromkeys(text for text in texts if text.strip())) or "not stated"


def _metrics(found: Entries) -> Iterator[Row]:
    rest = dict(found)
    spans = rest.pop("intervals", {})
    where = [f"{_plain(rest.pop('split'))} split"] if "split" in rest else []
    where += [f"{_plain(rest.pop('n'))} pictures"] if "n" in rest else []
    where += [f"{_plain(rest.pop('objects'))} objects"] if "objects" in rest else []
    if isinstance(spans, dict):
        where += ["95 % intervals in brackets"] if spans else []
    else:
        rest["intervals"], spans = spans, {}
    if where:
        yield "measured on", ", ".join(where)
    if "threshold" in rest:
        yield "boxes counted", f"from a score of {_plain(rest.pop('threshold'))} on; for mAP all"
    words = {**_MEASURES, **_POOLED} if "map" in rest else _MEASURES
    for key in dict.fromkeys([*rest, *spans]):
        split, _, measure = key.rpartition("/")
        tell = _share if measure in _MEASURES else _plain
        span = " to ".join(map(tell, ends)) if isinstance(ends := spans.get(key), list) else _plain(ends)
        text = span if key not in rest else tell(rest[key])
        if key in rest and key in spans:
            text += f" ({span.replace(' %', '')})"
        yield f"{split} {words.get(measure, _words(measure))}".strip(), text


def _quality(found: Entries) -> Iterator[Row]:
    metric = _plain(found.get("metric", "quality"))
    source: Entries = {key: found[key] for key in ("pictures", "fingerprint") if key in found}
    values = [
        f"{'network in PyTorch' if key == 'network' else key} {_share(value)}"
        for key, value in found.items()
        if key not in ("metric", *source)
    ]
    yield f"{_MEASURES.get(metric, metric)} at export", "; ".join(filter(None, (", ".join(values), _pairs(source))))


def _parity(found: Entries) -> Iterator[Row]:
    yield "tried against network", _pairs(found)


def _recipe(recipe: Entries) -> Iterator[Row]:
    """One row for what belongs to no part, then one for each part; a row with nothing in it is left out."""
    parts: dict[str, JsonValue] = {"recipe": {k: v for k, v in recipe.items() if not isinstance(v, dict)}, **recipe}
    for key, part in parts.items():
        if isinstance(part, dict) and (text := _part(part)):
            yield _words(key), text


def _part(part: Entries) -> str:
    unused = _MACHINERY.union(*(_UNUSED.get(f"{key} {value}", ()) for key, value in part.items()))
    kept = {key: value for key, value in part.items() if key not in unused and not _is_off(key, value)}
    named = [_plain(kept.pop("name"))] if "name" in kept else []
    return ", ".join(filter(None, (*named, _pairs(kept))))


def _is_off(key: str, value: JsonValue) -> bool:
    if key in _NEUTRAL and value == 1:
        return True
    return key not in _ALWAYS and (not value or value in ("none", "auto"))


def _pairs(entries: Entries) -> str:
    pairs = (_words(key) if value is True else f"{_words(key)} {_plain(value, True)}" for key, value in entries.items())
    return ", ".join(pairs)


def _plain(value: JsonValue, inside: bool = False) -> str:
    """Any value on one line. `inside`: lists and objects stand in brackets."""
    if isinstance(value, str):
        return value
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e5 else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        items = [f"{key}{':' if inside else ''} {_plain(each, True)}" for key, each in value.items()]
    else:
        items = [_plain(each, True) for each in value]
    return f"({', '.join(items)})" if inside else ", ".join(items)


def _share(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return _plain(value)
    return f"{100 * value:.1f} %"


def _words(key: str) -> str:
    return key.replace("_", " ").replace("sha256", "SHA-256")
