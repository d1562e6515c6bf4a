"""Nothing that Onsight uses tells anyone of machines or models."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_NOT_SENDING = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "GITHUB_ACTIONS", "TF_BUILD"}


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere ONNX Runtime keeps its number of the machine in other places"
)
def test_onnx_runtime_keeps_no_number_of_this_machine(tmp_path: Path, classifier_path: Path) -> None:
    """Which it would send with what it tells; a proxy that is not there keeps a test that fails from sending it."""
    before = set(tmp_path.rglob("*"))
    places = dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), str(tmp_path))
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    usual = {name: value for name, value in os.environ.items() if name not in _NOT_SENDING}
    code = f"from pipeline import open_model; open_model({str(classifier_path)!r}, 'cpu')"
    subprocess.run([sys.executable, "-B", "-c", code], env={**usual, **places, **proxies}, check=True, timeout=60)
    assert set(tmp_path.rglob("*")) == before


def test_who_wants_it_may_have_it(tmp_path: Path) -> None:
    code = "import pipeline, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, kept in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        usual = {name: value for name, value in os.environ.items() if name not in _NOT_SENDING}
        told = subprocess.run(
            [sys.executable, "-c", code], env={**usual, **given}, check=True, capture_output=True, text=True
        )
        assert told.stdout.strip() == kept
