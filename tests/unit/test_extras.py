import pytest

from pipeline.errors import ConfigError
from pipeline.extras import needing


def test_a_missing_package_names_the_extra():
    with (
        pytest.raises(ConfigError, match=r"package no_such_package: pip install 'onsight\[training\]'"),
        needing("training"),
    ):
        import no_such_package  # noqa: F401


def test_a_missing_module_of_ours_is_our_fault():
    with pytest.raises(ModuleNotFoundError), needing("training"):
        import pipeline.no_such_module  # noqa: F401
