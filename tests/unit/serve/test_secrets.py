import pytest
from pydantic import BaseModel, ValidationError

from pipeline.serve.secrets import Secret


class Config(BaseModel):
    password: Secret


def read(value: object) -> str:
    return Config(password=value).password.get_secret_value()  # type: ignore[arg-type]


def test_a_secret_is_text_or_stands_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("ONSIGHT_TEST", "from the environment")
    assert read("as it is") == "as it is"
    assert read({"file": tmp_path / "secret"}) == "from a file"
    assert read({"env": "ONSIGHT_TEST"}) == "from the environment"


def test_it_is_not_shown():
    assert "hush" not in repr(Config(password="hush"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"env": "ONSIGHT_NOT_SET"}, "the environment variable 'ONSIGHT_NOT_SET' is not set or empty"),
        ({"file": "/nowhere/secret"}, "cannot be read"),
        ({"file": "/dev/null"}, "is empty"),
        ({"vault": "x"}, "write the secret as text"),
        ({"env": "A", "file": "B"}, "write the secret as text"),
    ],
)
def test_where_there_is_none_is_told(value, told):
    with pytest.raises(ValidationError, match=told):
        read(value)
