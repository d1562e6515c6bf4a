"""The command `onsight events`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.serve.listing import Search
    from pipeline.serve.store import EventStore
    from pipeline.serve.types import Event, Gap

_MOST = 100  # events that are listed without --limit


@click.command()
@click.option(
    "--store", metavar="FOLDER|URL", default="events", show_default=True, help="Where `onsight serve` keeps them."
)
@click.option("--files", metavar="FOLDER", help="Thumbnails and clips, where the store has a URL.")
@click.option("--since", metavar="TIME", help="Duration until now, such as 1h or 7d, or 2026-11-20, 2026-11-20T08:00.")
@click.option("--until", metavar="TIME", help="As --since.")
@click.option("--label", "labels", multiple=True, metavar="A,B", help="What was seen; any of these.")
@click.option("--camera", "cameras", multiple=True, metavar="A,B", help="Where.")
@click.option("--rule", "rules", multiple=True, metavar="A,B", help="Which rule it fulfilled.")
@click.option("--text", metavar="PART", help="Part of the name of camera, label, rule or zone.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help=f"The newest N.  [{_MOST}; with --export: all]")
@click.option("--gaps", is_flag=True, help="The times in which a camera gave no pictures, in place of the events.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--export", "folder", metavar="FOLDER", type=click.Path(path_type=Path), help="Copy clips and thumbnails."
)
def events(
    store: str,
    files: str | None,
    since: str | None,
    until: str | None,
    limit: int | None,
    as_json: bool,
    folder: Path | None,
    text: str | None,
    gaps: bool,
    **names: tuple[str, ...],
) -> None:
    """List what was seen, the newest first, or copy it with --export."""
    from pipeline.extras import needing

    with needing("serve"):
        from pipeline.serve.listing import Search, moment
        from pipeline.serve.store import EventStore

    if gaps and folder is not None:
        raise ConfigError("gaps have no files to copy: leave out --export or --gaps")
    now = datetime.now().astimezone()
    chosen = {key: tuple(part.strip() for value in given for part in value.split(",")) for key, given in names.items()}
    search = Search(since=moment(since, now), until=moment(until, now), text=text, **chosen)
    with closing(EventStore(store, files, create=False)) as opened:
        if folder is None:
            _list(opened, search, limit, as_json, gaps)
        else:
            _export(opened, search, limit, folder)


def _list(store: EventStore, search: Search, limit: int | None, as_json: bool, gaps: bool) -> None:
    from pipeline.serve.listing import EVENT_COLUMNS, GAP_COLUMNS, print_table, to_json

    found: Sequence[Event | Gap]
    found, more = (search.gaps if gaps else search.newest)(store, limit or _MOST)
    if as_json:
        for each in found:
            click.echo(json.dumps(to_json(each), ensure_ascii=False))
    else:
        print_table(found, GAP_COLUMNS if gaps else EVENT_COLUMNS)
    if more and limit is None:
        click.echo(f"these are the newest {_MOST}: --limit N lists more", err=True)


def _export(store: EventStore, search: Search, limit: int | None, folder: Path) -> None:
    from pipeline.serve.export import export

    count = export(store, islice(search.all(store), limit), folder, str(search))
    click.echo(f"{count} event{'' if count == 1 else 's'} copied to {folder}", err=True)
