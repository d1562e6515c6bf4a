"""Freed memory goes back to the system, where the C library can do that."""

from __future__ import annotations

import ctypes

import pytest

from pipeline.sources import memory


@pytest.fixture(autouse=True)
def _anew():
    memory._trim.cache_clear()
    yield
    memory._trim.cache_clear()


def test_glibc_is_told_to_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        kept: list[int] = []  # noqa: RUF012

        def malloc_trim(self, pad: int) -> int:
            self.kept.append(pad)
            return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    memory.give_back()
    assert Library.kept == [0]


@pytest.mark.parametrize("fault", [AttributeError, OSError, TypeError])
def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch, fault: type[Exception]) -> None:
    def lack(name: str) -> object:
        raise fault

    monkeypatch.setattr(ctypes, "CDLL", lack)
    memory.give_back()


def test_it_can_be_called_here() -> None:
    memory.give_back()
