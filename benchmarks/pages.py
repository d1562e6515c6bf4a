"""What benchmarks write into pages of docs/: the text between two markers, `<!-- NAME -->` and `<!-- /NAME -->`."""

import re
import statistics
import sys

BESIDE = ("lib", "nvidia-")  # packages whose versions the JSON alone tells


def spread(values, form, unit=""):
    """The median of rounds, with the lowest and the highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}}{unit} ({low:{form}} – {high:{form}})"


def write_between(page, name, text):
    before = page.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    after, found = re.subn(f"(?s){re.escape(start)}.*?{re.escape(end)}", lambda _: f"{start}\n\n{text}\n{end}", before)
    if found != 1:
        sys.exit(f"{page} needs {start} and {end}, once")
    page.write_text(after, encoding="utf-8")
