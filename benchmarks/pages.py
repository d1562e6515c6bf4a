"""What benchmarks write into pages of docs/: the text between two markers, `<!-- NAME -->` and `<!-- /NAME -->`."""

import re
import sys


def write_between(page, name, text):
    before = page.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    after, found = re.subn(f"(?s){re.escape(start)}.*{re.escape(end)}", lambda _: f"{start}\n\n{text}\n{end}", before)
    if found != 1:
        sys.exit(f"{page} needs {start} and {end}, once")
    page.write_text(after, encoding="utf-8")
