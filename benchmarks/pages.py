"""What benchmarks write into pages of docs/: the text between two markers, `<!-- NAME -->` and `<!-- /NAME -->`."""

import datetime
import json
import re
import statistics
import sys
from pathlib import Path

from pipeline.bench.machine import describe_machine

BESIDE = ("lib", "nvidia-")  # packages whose versions the JSON alone tells


def spread(values, form, unit=""):
    """The median of rounds, with the lowest and the highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}}{unit} ({low:{form}} – {high:{form}})"


def verdict(rounds, mark, at_least=True):
    """Whether the median reaches the mark, and whether single rounds say otherwise."""
    found = (statistics.median(rounds), min(rounds), max(rounds))
    median, lowest, highest = (each >= mark if at_least else each <= mark for each in found)
    return ("reached" if median else "missed") + ("" if lowest == highest else ", within the spread")


def list_versions(versions):
    return ", ".join(f"{name} {versions[name]}" for name in sorted(versions) if not name.startswith(BESIDE))


def table(header, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def paragraphs(parts):
    """Those that are not empty, with a line between them."""
    text = "\n\n".join(filter(None, parts))
    return text and f"{text}\n"


def grouped(items, describe):
    """Lists of items that are described alike, after their description."""
    groups = {}
    for each in items:
        groups.setdefault(describe(each), []).append(each)
    return groups.items()


def add_page_options(parser):
    """What is measured is kept as JSON, from which a page can be written again."""
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    parser.add_argument("--read", type=Path, metavar="FILE.json", help="take what --output wrote, and measure nothing")
    parser.add_argument("--write", type=Path, metavar="PAGE.md")


def publish(arguments, name, measure, to_markdown):
    """Keeps and prints what was measured now, or read, and writes it into a page; returns it.

    Args:
        measure: called with the arguments where nothing is read, and once there is known to be a place for its result.
    """
    _check(arguments, name)
    if arguments.read:
        told = json.loads(arguments.read.read_text(encoding="utf-8"))
    else:
        told = {"made": str(datetime.date.today()), "machine": describe_machine(None).model_dump()}
        told |= measure(arguments)
    if arguments.output:
        arguments.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    text = to_markdown(told)
    print(text)
    if arguments.write:
        write_between(arguments.write, name, text)
    return told


def _check(arguments, name):
    if arguments.output and not arguments.output.parent.is_dir():
        sys.exit(f"{arguments.output.parent} is no folder: make it, or give --output another")
    for path in filter(None, (arguments.read, arguments.write)):
        if not path.is_file():
            sys.exit(f"there is no file {path}")
    if arguments.write:
        _split(arguments.write, name)


def write_between(page, name, text):
    before, start, end, after = _split(page, name)
    page.write_text(f"{before}{start}\n\n{text}\n{end}{after}", encoding="utf-8")


def _split(page, name):
    """The page before, at and after its markers."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    parts = re.split(f"(?s)({re.escape(start)}).*?({re.escape(end)})", page.read_text(encoding="utf-8"))
    if len(parts) != 4:
        sys.exit(f"{page} needs {start} and {end}, once")
    return parts
