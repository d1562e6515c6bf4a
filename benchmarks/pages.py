"""What benchmarks write into pages of docs/: the text between two markers, `<!-- NAME -->` and `<!-- /NAME -->`."""

import re
import statistics
import sys

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


def write_between(page, name, text):
    before = page.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    after, found = re.subn(f"(?s){re.escape(start)}.*?{re.escape(end)}", lambda _: f"{start}\n\n{text}\n{end}", before)
    if found != 1:
        sys.exit(f"{page} needs {start} and {end}, once")
    page.write_text(after, encoding="utf-8")
