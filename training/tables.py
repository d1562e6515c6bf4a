"""Data sets as CSV: `path,label[,split][,more columns]`, a header first, paths relative to the file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from training.findings import Finding, error, plural, shorten
from training.folders import in_order
from training.listing import SPLITS, Entry, Listing, Split, finish_listing, name_in


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the file. `name`: the path as it is written there."""

    line: int
    name: str
    label: str
    split: Split | None
    group: str | None


def list_table(file: Path, column: str | None) -> Listing:
    """Lists the images of a CSV.

    Args:
        column: the one whose values images are grouped by.

    Raises:
        ConfigError: a broken line; it is named by its number.
    """
    root = Path(os.path.abspath(file.parent))
    rows = list(read_rows(file, column))
    entries = [Entry(root / row.name, row.label, row.split, row.group) for row in rows]
    missing = [(row, entry) for row, entry in zip(rows, entries, strict=True) if not os.path.isfile(entry.path)]
    findings: list[Finding] = []
    if missing:
        named = shorten([f"{row.name} (line {row.line})" for row, _ in missing])
        what = f"{file} names {plural(len(missing), 'file that does', 'files that do')} not exist: {named}"
        findings.append(error("missing_file", what, [(name_in(root, entry.path),) for _, entry in missing]))
    return finish_listing(root, entries, in_order({entry.label for entry in entries}), findings)


def read_rows(file: Path, column: str | None = None, *, exact: bool = False) -> Iterator[Row]:
    """Reads the lines of a CSV, each path once.

    Args:
        exact: names and labels as `write_split` wrote them: spaces at their ends, and bytes that are no UTF-8, count.

    Raises:
        ConfigError: no such file or column, or a line that is broken.
    """
    try:
        errors = "surrogateescape" if exact else "strict"
        with file.open(encoding="utf-8-sig", errors=errors, newline="") as stream:
            yield from _read(csv.DictReader(stream, strict=True), file, column, exact)
    except OSError as failure:
        raise ConfigError(f"{file} cannot be read: {failure.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as failure:
        raise ConfigError(f"{file} is no CSV in UTF-8: {failure}") from None


def _read(reader: csv.DictReader[str], file: Path, column: str | None, exact: bool) -> Iterator[Row]:
    header = reader.fieldnames or []
    for needed in ("path", "label", *([column] if column else [])):
        if needed not in header:
            raise ConfigError(f"{file} has no column {needed!r}; its first line is: {','.join(header)[:100]}")
    folder = os.path.abspath(file.parent)
    seen: dict[str, int] = {}
    for record in reader:
        line = reader.line_num
        if None in record or None in record.values():
            raise ConfigError(f"{file} line {line} has not the {len(header)} columns of the first line")
        name, label = (record[key] if exact else record[key].strip() for key in ("path", "label"))
        if not name or not label:
            raise ConfigError(f"{file} line {line} has no {'label' if name else 'path'}")
        place = os.path.normpath(os.path.join(folder, name))
        if place in seen:
            raise ConfigError(f"{file} line {line} repeats {name} of line {seen[place]}: keep one")
        seen[place] = line
        group = record[column].strip() or None if column else None
        yield Row(line, name, label, _split(record, file, line), group)
    if not seen:
        raise ConfigError(f"{file} holds no images: it has no line after the first")


def _split(record: dict[str, str], file: Path, line: int) -> Split | None:
    if "split" not in record:
        return None
    value = record["split"].strip().lower()
    if value not in SPLITS:
        raise ConfigError(f"{file} line {line} has the split {value!r}; give one of: {', '.join(SPLITS)}")
    return SPLITS[value]
