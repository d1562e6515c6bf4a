"""Fixtures of all tests, and what happens to GPU tests on a machine without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.models import tiny_classifier, tiny_detector

if TYPE_CHECKING:
    from support.databases import OpenStore, Server

REQUIRE_CUDA = "ONSIGHT_REQUIRE_CUDA"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None or (reason := _why_no_cuda()) is None:
        return
    if os.environ.get(REQUIRE_CUDA) == "1":
        pytest.fail(f"{REQUIRE_CUDA}=1, but {reason}", pytrace=False)
    pytest.skip(f"no CUDA: {reason}")


@cache
def _why_no_cuda() -> str | None:
    from pipeline.session import check_device

    return check_device("cuda")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server of PostgreSQL."""
    from support.databases import serving

    with serving() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """For tests of all kinds of databases."""
    from pipeline.serve.store import EventStore

    folder = tmp_path / "events"
    if request.param == "sqlite":
        yield partial(EventStore, folder)
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield partial(EventStore, url, folder)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For tests of PyTorch: threads that wait for each other take longer than one where the machine is busy."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def classifier_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of blue, green and red, 32 x 32; see `support.models.tiny_classifier`."""
    return tiny_classifier(tmp_path_factory.mktemp("models") / "classifier.onnx")


@pytest.fixture(scope="session")
def detector_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of a blue, a green and a red thing, 64 x 64; see `support.models.tiny_detector`."""
    return tiny_detector(tmp_path_factory.mktemp("models") / "detector.onnx")
