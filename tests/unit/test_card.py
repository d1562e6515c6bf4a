from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.card import make_card
from training.recipe import Recipe

TERMS = {"licence": "not stated", "intended use": "not stated", "limits": "not stated"}
SHA = "695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14"


def told(provenance: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The card: title to name to text."""
    sections = make_card(provenance, [("task", "classify")], [("input", "64 x 64")])
    assert all(len(dict(section.rows)) == len(section.rows) for section in sections)
    return {section.title: dict(section.rows) for section in sections}


KNOWN: list[tuple[str, Any, str, str, str]] = [
    ("name", "flowers", "Model", "name", "flowers"),
    ("model", "timm:resnet18", "Model", "network", "timm:resnet18"),
    ("weights", "DEFAULT", "Model", "weights", "DEFAULT"),
    ("weights_sha256", SHA, "Model", "weights SHA-256", SHA),
    ("source", "yolox.onnx", "Model", "source", "yolox.onnx"),
    ("source_sha256", SHA, "Model", "source SHA-256", SHA),
    (
        "options",
        {"family": "yolox", "mean": [0.5, 0.5, 1.0]},
        "Model",
        "adopted with",
        "family yolox, mean (0.5, 0.5, 1)",
    ),
    ("precision", "int8", "Model", "precision", "int8"),
    (
        "calibration",
        {"pictures": 200, "fingerprint": "ab"},
        "Model",
        "int8 calibration",
        "pictures 200, fingerprint ab",
    ),
    ("author", "Ada", "Model", "author", "Ada"),
    ("onsight", "0.1.0", "Model", "Onsight version", "0.1.0"),
    ("versions", {"torch": "2.15.0", "timm": "1.0.20"}, "Model", "made with", "torch 2.15.0, timm 1.0.20"),
    ("licence", "Apache-2.0", "Intended use and limits", "licence", "Apache-2.0"),
    ("license", "MIT", "Intended use and limits", "licence", "MIT"),
    ("intended_use", "Flowers.\nBy day.", "Intended use and limits", "intended use", "Flowers.\nBy day."),
    ("limits", ["No night.", "No fog."], "Intended use and limits", "limits", "No night.\nNo fog."),
    ("temperature", 1.3741892, "Quality", "calibration temperature", "1.37419"),
    ("temperature", None, "Quality", "calibration temperature", "none"),
    ("metrics", {"accuracy": 0.919}, "Quality", "accuracy", "91.9 %"),
    ("metrics", {"val/accuracy": 0.9}, "Quality", "val accuracy", "90.0 %"),
    ("metrics", {"val/loss": 0.30000001192}, "Quality", "val loss", "0.3"),
    (
        *("parity", {"logits": 1e-6, "probabilities": 2.3841858e-7, "tolerance": 1e-3, "checks": 9}, "Quality"),
        *("tried against network", "logits 1e-06, probabilities 2.38419e-07, tolerance 0.001, checks 9"),
    ),
    (
        *("quality", {"pictures": 1000, "fingerprint": "ab", "metric": "accuracy", "network": 0.91, "fp32": 0.91}),
        *("Quality", "accuracy at export", "network in PyTorch 91.0 %, fp32 91.0 %; pictures 1000, fingerprint ab"),
    ),
    (
        "quality",
        {"metric": "map", "int8": 0.4049, "pictures": 1},
        "Quality",
        "mAP at export",
        "int8 40.5 %; pictures 1",
    ),
    ("trained_on", "flowers", "Training", "trained on", "flowers"),
    ("data_fingerprint", SHA, "Training", "data fingerprint", SHA),
    ("checkpoint", "best.ckpt", "Training", "checkpoint", "best.ckpt"),
    ("checkpoint_sha256", SHA, "Training", "checkpoint SHA-256", SHA),
    ("git_commit", "cbd29f3", "Training", "git commit", "cbd29f3"),
    ("recipe", {"name": "run", "epochs": 3, "seed": 0}, "Training", "recipe", "run, epochs 3, seed 0"),
]


@pytest.mark.parametrize(("key", "value", "title", "name", "text"), KNOWN)
def test_a_known_key_is_put_into_words(key: str, value: Any, title: str, name: str, text: str) -> None:
    sections = told({key: value})

    assert sections[title][name] == text
    assert "More" not in sections


def test_an_empty_provenance_says_what_is_not_stated() -> None:
    assert told({}) == {
        "Model": {"task": "classify"},
        "Intended use and limits": TERMS,
        "Input and output": {"input": "64 x 64"},
    }


def test_a_section_without_rows_is_left_out() -> None:
    assert [section.title for section in make_card({}, [], [])] == ["Intended use and limits"]


@pytest.mark.parametrize("nothing", [None, "", "  \n", [], {}, False])
def test_terms_that_say_nothing_are_not_stated(nothing: Any) -> None:
    about = {"licence": nothing, "license": nothing, "intended_use": nothing, "limits": nothing}

    assert told(about)["Intended use and limits"] == TERMS


def test_measures_of_a_detector_are_no_means_over_classes() -> None:
    found = {"split": "test", "n": 72, "objects": 967, "map": 0.35, "map50": 0.6}
    rows = told({"metrics": {**found, "threshold": 0.25, "precision": 0.9, "f1": 0.5}})["Quality"]
    assert rows == {
        "measured on": "test split, 72 pictures, 967 objects",
        "boxes counted": "from a score of 0.25 on; for mAP all",
        "mAP": "35.0 %",
        "mAP50": "60.0 %",
        "precision": "90.0 %",
        "F1": "50.0 %",
    }


def test_both_spellings_of_the_licence_count() -> None:
    assert told({"licence": "MIT", "license": "MIT"})["Intended use and limits"]["licence"] == "MIT"
    assert told({"licence": "", "license": "MIT"})["Intended use and limits"]["licence"] == "MIT"
    assert told({"licence": "MIT", "license": "BSD"})["Intended use and limits"]["licence"] == "MIT\nBSD"


def test_metrics_come_with_their_intervals() -> None:
    intervals = {"accuracy": [0.9134, 0.9241], "weighted_f1": [0.9, 1.0]}
    found = {"split": "test", "n": 10000, "accuracy": 0.919, "top5": 1.0, "precision": 0.5, "recall": 0, "f1": 0.25}

    assert told({"metrics": {**found, "ece": 0.0213, "intervals": intervals, "auc": 0.75}})["Quality"] == {
        "measured on": "test split, 10000 pictures, 95 % intervals in brackets",
        "accuracy": "91.9 % (91.3 to 92.4)",
        "top 5": "100.0 %",
        "macro precision": "50.0 %",
        "macro recall": "0.0 %",
        "macro F1": "25.0 %",
        "calibration error": "2.1 %",
        "auc": "0.75",
        "weighted F1": "90.0 % to 100.0 %",
    }


@pytest.mark.parametrize(
    ("metrics", "rows"),
    [
        ({"accuracy": 91.9}, {"accuracy": "91.9"}),
        ({"accuracy": "good"}, {"accuracy": "good"}),
        ({"accuracy": True}, {"accuracy": "yes"}),
        ({"accuracy": None, "n": 3}, {"measured on": "3 pictures", "accuracy": "none"}),
        ({"accuracy": 0.5, "intervals": None}, {"accuracy": "50.0 %", "intervals": "none"}),
        ({"accuracy": 0.5, "intervals": [0.4, 0.6]}, {"accuracy": "50.0 %", "intervals": "0.4, 0.6"}),
        (
            {"intervals": {"accuracy": {"low": 0.4}}},
            {"measured on": "95 % intervals in brackets", "accuracy": "low 0.4"},
        ),
        (
            {"loss": 0.3, "intervals": {"loss": [0.2, "?"]}},
            {"measured on": "95 % intervals in brackets", "loss": "0.3 (0.2 to ?)"},
        ),
        ({"per_class": {"a": 0.5, "b": [1, 2]}}, {"per class": "a 0.5, b (1, 2)"}),
        ({}, {"metrics": "none"}),
        ("91.9 %", {"metrics": "91.9 %"}),
        ([0.9, 0.8], {"metrics": "0.9, 0.8"}),
    ],
)
def test_odd_metrics_are_shown_as_they_are(metrics: Any, rows: dict[str, str]) -> None:
    assert told({"metrics": metrics})["Quality"] == rows


@pytest.mark.parametrize(
    ("quality", "rows"),
    [
        ({"metric": ["a"], "fp32": 0.5}, {"a at export": "fp32 50.0 %"}),
        ({"fp32": None, "int8": "n/a", "checked": True}, {"quality at export": "fp32 none, int8 n/a, checked yes"}),
        ({"metric": "accuracy", "pictures": [1]}, {"accuracy at export": "pictures (1)"}),
        (0.9, {"quality": "0.9"}),
    ],
)
def test_odd_quality_is_shown_as_it_is(quality: Any, rows: dict[str, str]) -> None:
    assert told({"quality": quality})["Quality"] == rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a | b\nc", "a | b\nc"),
        (None, "none"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (12345678, "12345678"),
        (0.1 + 0.2, "0.3"),
        (1732100000.5, "1732100000.5"),
        (float("nan"), "nan"),
        ([], "none"),
        ({}, "none"),
        (["a", 1, None, ["b", "c"]], "a, 1, none, (b, c)"),
        ({"a": 1, "b": {"c": [], "d_e": [1, {"f": 2}]}}, "a 1, b (c: none, d_e: (1, (f: 2)))"),
    ],
)
def test_unknown_keys_are_shown(value: Any, text: str) -> None:
    assert told({"reviewed_by": value})["More"] == {"reviewed by": text}


def recipe_of(**parts: Any) -> dict[str, Any]:
    parts = {"data": {"path": "photos"}, "model": {"name": "cifarnet"}, **parts}
    recipe = Recipe.model_validate(parts).to_json()
    del recipe["data"]["path"]  # as the export does
    return recipe


def test_a_recipe_has_a_row_for_each_part() -> None:
    recipe = recipe_of(
        model={"name": "timm:resnet18", "aux_weight": 0, "trainable": {0: "head", 5: "all"}},
        optimiser={"name": "sgd", "lr": 0.1},
        loss={"label_smoothing": 0.1},
        augment={"crop": "pad", "cutmix": 1.0},
    )

    assert told({"recipe": recipe})["Training"] == {
        "recipe": "run, seed 0, epochs 10",
        "data": "val fraction 0.15, test fraction 0.15, seed 0, batch 32",
        "model": "timm:resnet18, weights none, trainable (0: head, 5: all)",
        "augment": "crop pad, padding 4, flip 0.5, cutmix 1",
        "optimiser": "sgd, lr 0.1, momentum 0.9, nesterov, weight decay 0.05",
        "schedule": "cosine, warmup 1, final 0.01",
        "loss": "label smoothing 0.1",
        "run": "precision 32-true",
    }


@pytest.mark.parametrize(
    ("part", "values", "text"),
    [
        ("optimiser", {"name": "adamw"}, "adamw, lr 0.001, betas (0.9, 0.999), weight decay 0.05"),
        ("optimiser", {"name": "adam", "clip": 1, "weight_decay": 0}, "adam, lr 0.001, betas (0.9, 0.999), clip 1"),
        (
            *("optimiser", {"name": "muon", "accumulate": 2, "weight_decay": 0}),
            "muon, lr 0.001, momentum 0.9, nesterov, betas (0.9, 0.999), fallback 0.05, accumulate 2",
        ),
        ("schedule", {"name": "one-cycle"}, "one-cycle, rise 0.3, final 0.01"),
        ("schedule", {"name": "step", "steps": [3, 6]}, "step, warmup 1, steps (3, 6), gamma 0.1"),
        ("schedule", {"name": "constant", "warmup": 0}, "constant"),
        ("schedule", {"name": "linear"}, "linear, warmup 1, final 0.01"),
        ("augment", {"crop": "none", "flip": 0, "policy": "rand"}, "policy rand, rand ops 2, rand magnitude 9"),
        (
            "augment",
            {"policy": "trivial", "flip": 0},
            "crop random-resized, scale (0.35, 1), ratio (0.75, 1.33333), policy trivial",
        ),
    ],
)
def test_what_a_choice_makes_moot_is_left_out(part: str, values: dict[str, Any], text: str) -> None:
    assert told({"recipe": recipe_of(**{part: values})})["Training"][part] == text


@pytest.mark.parametrize(
    ("recipe", "rows"),
    [
        ("sgd for 10 epochs", {"recipe": "sgd for 10 epochs"}),
        (["a", "b"], {"recipe": "a, b"}),
        ({"optimiser": "sgd", "seed": None}, {"recipe": "optimiser sgd, seed none"}),
        ({"optimiser": {"name": ["a"], "lr": {"head": 0.1}}}, {"optimiser": "a, lr (head: 0.1)"}),
        ({"optimiser": {"name": "lion", "momentum": 0.9}}, {"optimiser": "lion, momentum 0.9"}),
    ],
)
def test_odd_recipes_are_shown_as_they_are(recipe: Any, rows: dict[str, str]) -> None:
    assert told({"recipe": recipe})["Training"] == rows


INNER = st.sampled_from(
    [
        "name",
        "metric",
        "n",
        "split",
        "intervals",
        "accuracy",
        "threshold",
        "objects",
        "pictures",
        "fp32",
        "a_b",
        "/",
        "",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a|\n", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(INNER, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([key for key, *_ in KNOWN]), JSON))
def test_no_value_breaks_the_card(provenance: dict[str, Any]) -> None:
    sections = make_card(provenance, [], [])

    assert all(isinstance(text, str) for section in sections for row in section.rows for text in row)
    assert "More" not in [section.title for section in sections]


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.lists(st.text("xyz", min_size=1) | st.integers(), min_size=1)))
def test_nothing_of_unknown_keys_is_lost(provenance: dict[str, Any]) -> None:
    rows = told(provenance).get("More", {})

    assert rows == {key: ", ".join(map(str, values)) for key, values in provenance.items()}
