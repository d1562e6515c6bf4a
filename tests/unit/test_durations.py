import pytest

from pipeline.durations import seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30s", 30),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("14d", 14 * 86400),
        ("1w", 7 * 86400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("90", 90),
        ("0", 0),
        (" 2 H ", 7200),
    ],
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "h", "1x", "-1s", "1h30", "2026-11-20", "s1", "1,5h", "one day", "inf", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="30s, 5m, 1h30m or 14d"):
        seconds(text)
