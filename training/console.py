"""How commands print. Imports nothing heavy: the `onsight` command loads it for its help."""

from __future__ import annotations

import click


def echo(text: str, err: bool = False) -> None:
    """Prints `text`; bytes of file names that are no UTF-8 are escaped, as JSON has it."""
    click.echo(text.encode("utf-8", "backslashreplace").decode(), err=err)
