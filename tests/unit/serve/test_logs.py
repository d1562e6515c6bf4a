import json
import logging
import subprocess
import sys

import pytest

from pipeline.serve.logs import Json, Text
from pipeline.sources.live import hide_all_credentials

URL = "rtsp://anna:hu'sh@192.0.2.1:554/stream?token=hush"


def record(message: str, *values: object, fault: bool = False) -> logging.LogRecord:
    info = None
    if fault:
        try:
            raise ValueError(f"cannot open {URL}")
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("pipeline.x", logging.WARNING, "x.py", 1, message, values, info)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{URL} was lost", "rtsp://192.0.2.1:554/stream?token=*** was lost"),
        ("(RTSP://a:b@c/d)", "(RTSP://c/d)"),
        ("'http://a:b@c/d' and https://e:f@g", "'http://c/d' and https://g"),
        ("https://c:8443/d?x=1 at 10:00 by anna@home", "https://c:8443/d?x=1 at 10:00 by anna@home"),
        ("postgresql://anna:hush@db/events", "postgresql://db/events"),
        ("nothing: to @ hide", "nothing: to @ hide"),
    ],
)
def test_urls_in_a_text_lose_their_credentials(text, shown):
    assert hide_all_credentials(text) == shown


def test_text():
    line = Text().format(record("camera %s of %s is gone", "yard", URL))
    assert line.endswith(" WARNING camera yard of rtsp://192.0.2.1:554/stream?token=*** is gone")


def test_json_is_one_line_with_its_traceback():
    line = Json().format(record('"%s" is gone', URL, fault=True))
    assert "\n" not in line
    entry = json.loads(line)
    assert entry.keys() == {"time", "level", "logger", "message"}
    assert (entry["level"], entry["logger"]) == ("WARNING", "pipeline.x")
    assert entry["message"].startswith('"rtsp://192.0.2.1:554/stream?token=*** is gone\nTraceback')
    assert entry["message"].endswith("ValueError: cannot open rtsp://192.0.2.1:554/stream?token=***")


@pytest.mark.parametrize("layout", [Text(), Json()])
def test_no_password_in_tracebacks(layout):
    told = layout.format(record("it is gone", fault=True))
    assert "ValueError: cannot open rtsp://192.0.2.1" in told
    assert "hush" not in told
    assert "hu'sh" not in told


def test_libraries_are_quiet():
    told = "import logging; from pipeline.serve.logs import set_up; set_up('json');"
    told += "[logging.getLogger(name).info('from %s', name) for name in ('httpx', 'pipeline.x', 'alembic')]"
    lines = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stderr.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["from pipeline.x"]
