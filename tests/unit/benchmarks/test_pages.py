import argparse
import json
from pathlib import Path

import gpu_page
import latency
import marks_page
import presets
import pytest
import savings
from pages import (
    add_page_options,
    grouped,
    list_versions,
    paragraphs,
    publish,
    spread,
    table,
    verdict,
    write_between,
)

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"


def test_a_median_with_the_lowest_and_the_highest():
    assert spread([3, 1, 2, 9], ".1f", " fps") == "2.5 fps (1.0 – 9.0)"


@pytest.mark.parametrize(
    ("rounds", "at_least", "expected"),
    [
        ([3, 3, 3], True, "reached"),
        ([3, 4, 5], True, "reached"),
        ([2, 3, 4], True, "reached, within the spread"),
        ([1, 2, 3], True, "missed, within the spread"),
        ([1, 2, 2], True, "missed"),
        ([3, 3, 3], False, "reached"),
        ([2, 3, 4], False, "reached, within the spread"),
        ([3, 4, 5], False, "missed, within the spread"),
        ([4, 5, 6], False, "missed"),
    ],
)
def test_the_median_reaches_the_mark_of_three_and_other_rounds_may_not(rounds, at_least, expected):
    assert verdict(rounds, 3, at_least) == expected


def test_versions_of_what_comes_with_a_package_are_left_out():
    assert list_versions({"numpy": "2", "libavcodec": "62", "av": "18", "nvidia-cublas": "13"}) == "av 18, numpy 2"


def test_a_table():
    assert table(("a", "b"), [("1", ""), ("2", "3")]) == "| a | b |\n| --- | --- |\n| 1 |  |\n| 2 | 3 |"


def test_paragraphs_that_are_empty_are_left_out():
    assert paragraphs(["one\nline", "", "two"]) == "one\nline\n\ntwo\n"
    assert paragraphs([""]) == ""


def test_items_that_are_described_alike_are_one_group():
    assert dict(grouped([1, 2, 3], lambda number: number % 2)) == {1: [1, 3], 0: [2]}


def test_what_lies_between_the_markers_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n", encoding="utf-8")
    write_between(page, "a", r"new \1")
    assert page.read_text(encoding="utf-8") == "before\n<!-- a -->\n\nnew \\1\n<!-- /a -->\nafter\n"


@pytest.mark.parametrize("text", ["", "<!-- a -->\n", "<!-- a --><!-- /a -->\n" * 2])
def test_a_page_without_the_markers_or_with_two_of_them_stays_as_it_is(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit):
        write_between(page, "a", "new")
    assert page.read_text(encoding="utf-8") == text


def parse(*words):
    parser = argparse.ArgumentParser()
    add_page_options(parser)
    return parser.parse_args([str(word) for word in words])


def test_what_was_measured_is_kept_and_a_page_can_be_written_of_it_again(tmp_path):
    kept, page = tmp_path / "kept.json", tmp_path / "page.md"
    page.write_text("<!-- a -->\n<!-- /a -->\n", encoding="utf-8")
    told = publish(parse("--output", kept), "a", lambda arguments: {"fps": 30}, str)
    assert {"made", "machine"} < told.keys()
    again = publish(parse("--read", kept, "--write", page), "a", pytest.fail, lambda told: f"{told['fps']} fps")
    assert again == told
    assert page.read_text(encoding="utf-8") == "<!-- a -->\n\n30 fps\n<!-- /a -->\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--output", "none/kept.json"], "none is no folder"),
        (["--read", "none.json"], "there is no file none.json"),
        (["--write", "none.md"], "there is no file none.md"),
        (["--write", "page.md"], "page.md needs <!-- a --> and <!-- /a -->"),
    ],
)
def test_nothing_is_measured_that_has_no_place(tmp_path, monkeypatch, words, why):
    monkeypatch.chdir(tmp_path)
    Path("page.md").write_text("no markers", encoding="utf-8")
    with pytest.raises(SystemExit, match=why):
        publish(parse(*words), "a", pytest.fail, str)


def results(*patterns):
    paths = [path for pattern in patterns for path in sorted(RESULTS.glob(pattern))]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def marks():
    (told,) = results("marks.json")
    return {"marks": marks_page.to_markdown(told)}


def ages():
    (told,) = results("latency.json")
    return {"latency": latency.to_markdown(told)}


def costs():
    (told,) = results("presets.json")
    return {"presets": presets.to_markdown(told)}


def saved():
    (told,) = results("savings.json")
    return {"savings": savings.to_markdown(told)}


def gpu():
    return gpu_page.to_parts(results("resnet50_*.json", "networks_*.json", "bench_*.json"))


@pytest.mark.parametrize(
    ("page", "parts"),
    [("platforms.md", gpu), ("speed.md", marks), ("speed.md", ages), ("speed.md", saved), ("configuration.md", costs)],
)
def test_a_page_says_what_was_measured(tmp_path, page, parts):
    """Whoever replaces results, or changes what is said of them, writes the page anew: the commands stand there."""
    path, copy = ROOT / "docs" / page, tmp_path / page
    copy.write_bytes(path.read_bytes())
    for name, text in parts().items():
        write_between(copy, name, text)
    assert copy.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
