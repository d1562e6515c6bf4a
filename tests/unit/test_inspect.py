from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from support.models import tiny_classifier, tiny_detector

from pipeline.cli import main
from pipeline.contract import ClassifierSpec, DetectorSpec, InputSpec, ModelContract, Resize
from pipeline.errors import ContractError, DeviceError, ModelError, SinkError
from pipeline.inspect import inspect_model, print_model, write_card


@pytest.fixture(autouse=True)
def a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def card(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The printed card: name to value."""
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    return {name.strip(): value.strip() for name, _, value in (line.strip().partition("  ") for line in lines)}


def read_tables(markdown: str) -> dict[str, str]:
    """What a reader sees of the tables in `markdown`: name to value."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    inside = [i + 1 for i, token in enumerate(tokens) if token.type == "td_open"]
    cells = ["".join(map(_seen, tokens[i].children or [])) for i in inside]
    return dict(zip(cells[::2], cells[1::2], strict=True))


def _seen(token: Token) -> str:
    """Text is seen as it is, and a line break as one; anything else would be markup that nobody wrote."""
    if token.type == "html_inline" and token.content == "<br>":
        return "\n"
    return token.content if token.type == "text" else f"({token.type})"


def contract_of(
    *, labels: Sequence[str] = ("blue", "green", "red"), detector: DetectorSpec | None = None, **parts: object
) -> ModelContract:
    values: dict[str, object] = {
        "task": "detect" if detector else "classify",
        "labels": labels,
        "input": InputSpec(height=32, width=64),
        "resize": Resize(rule="stretch"),
        "detector": detector,
        "classifier": None if detector else ClassifierSpec(),
    }
    return ModelContract.model_validate(values | parts)


def facts_of(contract: ModelContract) -> dict[str, object]:
    return {
        "file": "m.onnx",
        "bytes": 3_912_345,
        "contract": contract.model_dump(mode="json", exclude_none=True),
        "inputs": {"frames": ["B", 32, 64, 3]},
        "outputs": {"scores": [None, 3]},
        "operators": {f"Op{i}": 20 - i for i in range(12)},
        "nodes": {"CUDAExecutionProvider": 170, "CPUExecutionProvider": 4},
        "cpu_nodes": 4,
        "device": "cuda",
        "reason": None,
    }


def test_facts_of_a_classifier(tmp_path: Path) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", size=(32, 48))

    facts = inspect_model(path, "cpu")

    assert facts["file"] == str(path)
    assert facts["bytes"] == path.stat().st_size
    assert facts["contract"]["labels"] == ["blue", "green", "red"]
    assert facts["inputs"] == {"frames": ["B", 32, 48, 3]}
    assert facts["outputs"] == {"scores": ["B", 3]}
    assert facts["operators"] == {"Cast": 1, "ReduceMean": 1, "Mul": 1, "Softmax": 1}
    assert facts["nodes"] == {"CPUExecutionProvider": 4}
    assert (facts["cpu_nodes"], facts["device"], facts["reason"]) == (4, "cpu", None)


def test_facts_of_a_detector_put_frequent_operators_first(tmp_path: Path) -> None:
    facts = inspect_model(tiny_detector(tmp_path / "m.onnx"), "cpu")

    counts = list(facts["operators"].values())
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 1
    assert sum(counts) == sum(facts["nodes"].values())
    assert facts["outputs"] == {"boxes": ["B", 3, 4], "scores": ["B", 3], "labels": ["B", 3]}


def test_json_is_one_object_with_the_same_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_detector(tmp_path / "m.onnx")

    assert main(["inspect", str(path), "--device", "cpu", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == inspect_model(path, "cpu")


def test_card_of_a_real_file_is_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_detector(tmp_path / "m.onnx", doubles=True)

    assert main(["inspect", str(path), "--device", "cpu"]) == 0

    text = capsys.readouterr().out
    assert text.startswith(str(path))
    assert text.isascii()
    assert "\x1b" not in text
    assert "detect: up to 6 boxes a frame, the host suppresses overlaps" in text
    assert "64 x 64 pixels, any number of frames" in text


def test_card_tells_the_graph_and_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(provenance={"name": "Net", "trained_on": "cats", "epochs": 3})))

    lines = card(capsys)
    assert list(lines)[:3] == ["name", "task", "labels"]
    assert (lines["name"], lines["trained on"], lines["epochs"]) == ("Net", "cats", "3")
    assert lines["graph"] == "174 nodes: 20 Op0, 19 Op1, 18 Op2, 17 Op3, 16 Op4, 15 Op5, 14 Op6, 13 Op7, ..."
    assert lines["device"] == "cuda"
    assert lines["on the CPU"] == "4 of 174 nodes"
    assert lines["outputs"] == "scores [?, 3]"


def test_card_says_why_there_is_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    print_model({**facts_of(contract_of()), "device": "cpu", "reason": "no driver"})

    assert card(capsys)["device"] == "cpu: no driver"


@pytest.mark.parametrize(
    ("size", "text"), [(999, "1.0 kB"), (262, "0.3 kB"), (3_912_345, "3.9 MB"), (1_000_000, "1.0 MB")]
)
def test_card_tells_the_size(size: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model({**facts_of(contract_of()), "bytes": size})

    assert capsys.readouterr().out.startswith(f"m.onnx, {text}\n")


def test_card_shows_the_first_labels_and_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(labels=list("abcdefghij"))))
    assert card(capsys)["labels"] == "10: a, b, c, d, e, f, g, h, ..."

    print_model(facts_of(contract_of(labels=list("abcdefgh"))))
    assert card(capsys)["labels"] == "8: a, b, c, d, e, f, g, h"


@pytest.mark.parametrize(
    ("resize", "text"),
    [
        (Resize(rule="graph"), "the graph resizes"),
        (Resize(rule="stretch"), "stretched to the input, whatever the shape of the frame; linear, anti-aliased"),
        (
            Resize(rule="crop", crop_pct=0.875, interpolation="cubic"),
            "scaled to cover the input / 0.875 and cut out at the centre; cubic, anti-aliased",
        ),
        (
            Resize(rule="letterbox", antialias=False, pad="end"),
            "scaled to fit into the input, the rest filled with grey 114 at the right and the bottom; "
            "linear, not anti-aliased",
        ),
        (
            Resize(rule="letterbox", pad="both", pad_value=0),
            "scaled to fit into the input, the rest filled with grey 0 on both sides; linear, anti-aliased",
        ),
    ],
)
def test_card_tells_the_resize_rule(resize: Resize, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(resize=resize)))

    assert card(capsys)["resize"] == text


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "64 x 32 pixels, any number of frames"),
        ({"input": InputSpec(height=32, width=64, batch=1)}, "64 x 32 pixels, one frame at a time"),
        ({"resize": Resize(rule="graph")}, "frames of any size, any number of frames"),
        (
            {"input": InputSpec(height=640, width=640, stride=32, dynamic=True), "resize": Resize(rule="letterbox")},
            "up to 640 x 640 pixels, multiples of 32, any number of frames",
        ),
    ],
)
def test_card_tells_the_input(parts: dict[str, object], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(**parts)))

    assert card(capsys)["input"] == text


@pytest.mark.parametrize(
    ("contract", "text"),
    [
        (contract_of(), "the best 5"),
        (contract_of(classifier=ClassifierSpec(top_k=3, threshold=0.2)), "the best 3 with scores of 0.2 and more"),
        (contract_of(detector=DetectorSpec(candidates=300, nms=False)), "scores of 0.25 and more"),
        (
            contract_of(detector=DetectorSpec(candidates=300, nms=True, iou=0.5)),
            "scores of 0.25 and more; boxes that overlap by more than 0.5 are one",
        ),
    ],
)
def test_card_tells_what_is_reported(contract: ModelContract, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract))

    assert card(capsys)["reports"] == text


def test_the_printed_card_has_sections(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(provenance={"name": "Net", "limits": "Only by day.\nNever by night."})))

    assert capsys.readouterr().out.splitlines()[:13] == [
        "m.onnx, 3.9 MB",
        "",
        "Model",
        "  name          Net",
        "  task          classify: says what a frame shows",
        "  labels        3: blue, green, red",
        "",
        "Intended use and limits",
        "  licence       not stated",
        "  intended use  not stated",
        "  limits        Only by day.",
        "                Never by night.",
        "",
    ]


def test_headings_are_in_the_order_of_a_reader(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"name": "Net", "metrics": {"accuracy": 0.9}, "git_commit": "abc", "colour": "blue"}
    print_model(facts_of(contract_of(provenance=about)))

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")][1:] == [
        *("Model", "Intended use and limits", "Quality", "Training", "Input and output", "More", "On this machine")
    ]


def test_headings_without_rows_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of()))

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")][1:] == [
        *("Model", "Intended use and limits", "Input and output", "On this machine")
    ]


def test_long_texts_are_wrapped_to_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    digest = "0123456789abcdef" * 4
    print_model(facts_of(contract_of(provenance={"limits": "a word " * 40, "weights_sha256": digest})))

    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("  limits"))
    assert 50 <= max(map(len, lines[first : first + 5])) <= 60
    assert lines[first + 1].startswith(" " * 19 + "a word")
    assert "  weights SHA-256  " + digest in lines


def test_a_narrow_terminal_breaks_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    print_model(facts_of(contract_of(provenance={"a" * 300: "b" * 300})))

    assert f"  {'a' * 300}  {'b' * 300}\n" in capsys.readouterr().out


def test_a_terminal_obeys_nothing_in_the_provenance(capsys: pytest.CaptureFixture[str]) -> None:
    print_model(facts_of(contract_of(provenance={"name": "\x1b[2Jgone\x07\x9b1m", "a\nb": "c\r\n\td"})))

    text = capsys.readouterr().out
    assert "  name           [2Jgone  1m\n" in text
    assert "  a b           c\n                 d\n" in text


SAMPLE = """\
# m.onnx

An Onsight model, 3.9 MB. This card was written by `onsight inspect`.

## Model

| | |
|---|---|
| name | Net |
| task | classify: says what a frame shows |
| labels | 3: blue, green, red |
| network | torchvision:resnet18 |

## Intended use and limits

| | |
|---|---|
| licence | Apache-2.0 |
| intended use | not stated |
| limits | By day \\| by night:<br>not \\*both\\*. |

## Quality

| | |
|---|---|
| measured on | test split, 1000 pictures, 95 % intervals in brackets |
| accuracy | 91.9 % (91.3 to 92.4) |

## Training

| | |
|---|---|
| optimiser | sgd, lr 0.1 |

## Input and output

| | |
|---|---|
| input | 64 x 32 pixels, any number of frames |
| resize | stretched to the input, whatever the shape of the frame; linear, anti-aliased |
| reports | the best 5 |
| inputs | frames \\[B, 32, 64, 3] |
| outputs | scores \\[?, 3] |

## More

| | |
|---|---|
| reviewed by | Ada, Grace |
"""


def test_the_card_as_markdown(tmp_path: Path) -> None:
    about = {
        "reviewed_by": ["Ada", "Grace"],
        "name": "Net",
        "model": "torchvision:resnet18",
        "licence": "Apache-2.0",
        "limits": "By day | by night:\nnot *both*.",
        "metrics": {"split": "test", "n": 1000, "accuracy": 0.919, "intervals": {"accuracy": [0.913, 0.924]}},
        "recipe": {"optimiser": {"name": "sgd", "lr": 0.1}},
    }
    facts = {**facts_of(contract_of(provenance=about)), "file": "/home/ada/secret/m.onnx"}

    write_card(facts, tmp_path / "card.md")

    assert (tmp_path / "card.md").read_bytes().decode() == SAMPLE
    assert [path.name for path in tmp_path.iterdir()] == ["card.md"]


@pytest.mark.parametrize(
    "text",
    [
        *("a | b", "\\| x", "a\\", "\\\\|", "a\\\nb", "|", "one\n\nthree", "`a|b`", "<b>x</b>", "<br>", "<http://x.y>"),
        *("*a* _b_ __init__ a_b_c", "~~a~~", "[a](http://b)", "![a](b)", "[a]: b", "# a", "- a", "&lt; & &amp; &#60;"),
    ],
)
def test_markdown_shows_texts_letter_by_letter(text: str, tmp_path: Path) -> None:
    write_card(facts_of(contract_of(provenance={"limits": text, "key|`*": "b"})), tmp_path / "card.md")

    shown = read_tables((tmp_path / "card.md").read_text(encoding="utf-8"))
    assert shown["limits"] == text
    assert shown["key|`*"] == "b"
    assert shown["inputs"] == "frames [B, 32, 64, 3]"


def test_both_cards_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = {"name": "Net", "temperature": 1.25, "metrics": {"accuracy": 0.5}, "energy": {"kwh": 1.5}}
    facts = facts_of(contract_of(provenance=about))

    write_card(facts, tmp_path / "card.md")
    print_model(facts)

    printed, written = card(capsys), read_tables((tmp_path / "card.md").read_text(encoding="utf-8"))
    assert {name: printed.pop(name) for name in ("graph", "device", "on the CPU")}
    assert written == printed


def test_a_card_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot write"):
        write_card(facts_of(contract_of()), tmp_path / "gone" / "card.md")


def test_an_older_card_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "card.md").write_text("an older card", encoding="utf-8")
    monkeypatch.setattr("pipeline.inspect.finish", fail)

    with pytest.raises(SinkError, match=r"cannot write .*card\.md: No space left on device"):
        write_card(facts_of(contract_of()), tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == "an older card"


def test_the_command_prints_the_card_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, written = tiny_classifier(tmp_path / "m.onnx"), tmp_path / "CARD.MD"
    written.write_text("an older card", encoding="utf-8")

    assert main(["inspect", str(path), "--device", "cpu", "--card", str(written)]) == 0

    text = written.read_text(encoding="utf-8")
    assert text.startswith("# m.onnx\n")
    assert "| labels | 3: blue, green, red |" in text
    assert "On this machine" not in text
    assert str(tmp_path) not in text
    assert card(capsys)["device"] == "cpu"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["CARD.MD", "m.onnx"]


def test_the_command_writes_the_card_beside_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_classifier(tmp_path / "m.onnx")

    assert main(["inspect", str(path), "--device", "cpu", "--json", "--card", str(tmp_path / "m.md")]) == 0

    assert json.loads(capsys.readouterr().out) == inspect_model(path, "cpu")
    assert (tmp_path / "m.md").is_file()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("card.txt", "has an unknown suffix; give it one of: .md"),
        ("card", "has an unknown suffix; give it one of: .md"),
        ("gone/card.md", "does not exist; make it first"),
        ("m.onnx/card.md", "is not a folder"),
    ],
)
def test_a_card_that_cannot_be_made_is_one_line(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_classifier(tmp_path / "m.onnx")

    assert main(["inspect", str(path), "--device", "cpu", "--card", str(tmp_path / name)]) == 2

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("onsight: ")
    assert reason in err
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


def test_a_model_without_contract_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_classifier(tmp_path / "m.onnx", metadata={})

    with pytest.raises(ContractError, match="onsight adopt"):
        inspect_model(path)
    assert main(["inspect", str(path)]) == 2
    assert "onsight adopt" in capsys.readouterr().err


def test_a_missing_or_corrupt_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model file"):
        inspect_model(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="cannot be loaded"):
        inspect_model(tmp_path / "m.onnx")


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.session.why_no_gpu", lambda: "the bus is empty")

    with pytest.raises(DeviceError, match="cuda cannot be used: the bus is empty"):
        inspect_model(tiny_classifier(tmp_path / "m.onnx"), "cuda")
