"""`onsight events`, and what is left when the process that writes them is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.databases import Server
from support.watching import event

import pipeline
from pipeline.errors import ConfigError, OnsightError, SinkError, StoreError
from pipeline.serve.cli_events import events
from pipeline.serve.listing import moment
from pipeline.serve.store import EventStore
from pipeline.serve.types import Gap

ROOT = Path(pipeline.__file__).parent.parent
PICTURE = np.zeros((20, 20, 3), np.uint8)


def onsight_events(*arguments: str | Path) -> Result:
    return CliRunner().invoke(events, [str(each) for each in arguments])


def lines(*arguments: str | Path) -> list[str]:
    """The labels of the events that `--json` gives."""
    result = onsight_events(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line)["label"] for line in result.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three events: a person two hours ago, then a car, which has a clip, and a dog that is still there."""
    ago = (datetime.now(UTC) - event().start).total_seconds()
    with closing(EventStore(tmp_path / "store")) as store:
        for label, hours, lasted in (("person", 2, 60), ("car", 0.5, 2.5), ("dog", 0.1, None)):
            store.add(event(ago - hours * 3600, lasted, label=label, zones=["yard"]), PICTURE)
        store.flush()
        (car,) = store.search(labels=["car"])
        clip = store.files.clip(car)
        store.files.prepare(clip).write_bytes(b"a clip")
        store.attach(car, clip=clip)
    return tmp_path / "store"


def test_a_table(folder: Path) -> None:
    result = onsight_events("--store", folder)
    assert result.exit_code == 0
    dog, car, person = result.stdout.splitlines()[1:]
    assert "dog" in dog
    assert "…" in dog
    assert [word for word in ("car", "2.5", "yard", "0.88", "seen", "yes") if word not in car] == []
    assert "yes" not in person


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        ([], ["dog", "car", "person"]),
        (["--since", "1h"], ["dog", "car"]),
        (["--since", "3h", "--until", "1h"], ["person"]),
        (["--label", "person,car"], ["car", "person"]),
        (["--label", "person", "--label", "dog"], ["dog", "person"]),
        (["--camera", "gate"], []),
        (["--rule", "seen", "--limit", "1"], ["dog"]),
        (["--text", "yar"], ["dog", "car", "person"]),
        (["--since", "2020-01-01", "--until", "2020-01-02T08:00"], []),
    ],
)
def test_json_lines_of_what_fits(folder: Path, arguments: Sequence[str], labels: Sequence[str]) -> None:
    assert lines("--store", folder, *arguments) == labels


def test_gaps(folder: Path) -> None:
    now = datetime.now(UTC)
    with closing(EventStore(folder)) as store:
        store.note_gap(Gap("1", "gate", now - timedelta(hours=3), now - timedelta(hours=2), "Connection refused"))
        store.note_gap(Gap("2", "yard", now - timedelta(minutes=5), None, "no route"))
        store.flush()
    header, second, first = onsight_events("--store", folder, "--gaps").stdout.splitlines()
    assert header.split() == ["time", "seconds", "camera", "reason"]
    assert [word for word in ("gate", "3600.0", "Connection refused") if word not in first] == []
    assert [word for word in ("yard", "…", "no route") if word not in second] == []
    found = onsight_events("--store", folder, "--gaps", "--since", "1h", "--json").stdout
    start = (now - timedelta(minutes=5)).isoformat()
    assert json.loads(found) == {"id": "2", "camera": "yard", "start": start, "end": None, "reason": "no route"}
    assert onsight_events("--store", folder, "--gaps", "--camera", "porch").stdout.splitlines()[1:] == []


def test_a_store_with_a_url(postgresql: Server, folder: Path, tmp_path: Path) -> None:
    """As `onsight serve` keeps it: rows in the database, files in the folder."""
    with postgresql.database() as url, closing(EventStore(folder)) as known:
        with closing(EventStore(url, folder)) as store:
            for each in known.search():
                store.add(each)
        where = ("--store", url, "--files", folder)
        assert lines(*where) == ["dog", "car", "person"]
        assert lines(*where, "--label", "CAR,dog", "--text", "yar") == ["dog", "car"]
        result = onsight_events(*where, "--label", "car", "--export", tmp_path / "all")
        assert result.exit_code == 0, result.output
        (car,) = json.loads((tmp_path / "all" / "events.json").read_text())
        assert (tmp_path / "all" / car["clip"]).read_bytes() == b"a clip"


def test_a_list_that_is_cut_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.cli_events._MOST", 2)
    result = onsight_events("--store", folder)
    assert "newest 2: --limit N lists more" in result.stderr
    assert len(result.stdout.splitlines()) == 3
    assert onsight_events("--store", folder, "--label", "car,dog").stderr == ""


def test_an_export_has_all_files_and_is_noted(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    result = onsight_events("--store", folder, "--label", "car,dog", "--export", target)
    assert result.exit_code == 0, result.output
    assert "2 events copied" in result.stderr
    dog, car = json.loads((target / "events.json").read_text())
    assert (dog["label"], dog["end"], dog["clip"]) == ("dog", None, None)
    assert (target / car["clip"]).read_bytes() == b"a clip"
    assert (target / dog["thumbnail"]).stat().st_size > 0
    assert len(list(target.iterdir())) == 4
    assert "_yard_car_" in car["clip"]
    with closing(EventStore(folder)) as store:
        (entry,) = store.audits()
    assert (entry.action, entry.what) == ("export", "labels car dog")
    assert entry.user


def test_an_export_takes_all_pages(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.listing._PAGE", 2)
    onsight_events("--store", folder, "--export", tmp_path / "all")
    assert len(json.loads((tmp_path / "all" / "events.json").read_text())) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (["--since", "soon"], ConfigError, "'soon' is no time: write 1h"),
        (["--since", "99999999w"], ConfigError, "is no time"),
        (["--store", "none"], StoreError, "there are no events in none"),
        (["--store", "mysql://a/b", "--files", "."], ConfigError, "SQLite or PostgreSQL"),
        (["--export", "taken"], SinkError, "holds an export already"),
        (["--export", "file"], SinkError, "cannot write file"),
        (["--gaps", "--label", "car"], ConfigError, "gaps have a time and a camera, but no label: leave out --label"),
        (["--gaps", "--export", "new"], ConfigError, "gaps have no files to copy: leave out --export"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    folder: Path, here: Path, arguments: Sequence[str], error: type[OnsightError], reason: str
) -> None:
    (here / "taken").mkdir()
    (here / "taken" / "events.json").touch()
    (here / "file").touch()
    result = onsight_events("--store", folder, *arguments)
    assert isinstance(result.exception, error)
    assert reason in str(result.exception)
    assert "\n" not in str(result.exception)
    with closing(EventStore(folder)) as store:
        assert store.audits() == []


def test_times() -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert moment(None, now) is None
    assert moment("90m", now) == now - timedelta(minutes=90)
    assert moment("2026-11-20T08:00+02:00", now) == datetime(2026, 11, 20, 6, tzinfo=UTC)
    assert moment("2026-11-20", now) == datetime(2026, 11, 20).astimezone()


def test_events_survive_kill_9() -> None:
    script = ROOT / "benchmarks" / "kill_events.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), "--rounds", "2", "--longest", "1.5"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["told"] > 0
