"""Passwords, tokens, sessions, waits between attempts, and where the page may listen."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import cli_secrets
from pipeline.errors import ConfigError
from pipeline.serve.web.accounts import Accounts, Identity, hash_password, hash_token, new_token
from pipeline.serve.web.limiter import LoginLimiter
from pipeline.serve.web.sessions import Sessions
from pipeline.serve.web.settings import (
    SecretFrom,
    TokenSettings,
    UserSettings,
    WebSettings,
    check_exposure,
    recording_notice,
)

PASSWORD = "correct horse"
HASH = hash_password(PASSWORD)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def accounts(users: dict[str, object] | None = None, tokens: dict[str, object] | None = None) -> Accounts:
    settings = WebSettings.model_validate({"users": users or {}, "tokens": tokens or {}})
    return Accounts(settings.users, settings.tokens)


# Passwords and tokens


def test_a_password_is_known_by_its_hash() -> None:
    known = accounts({"anna": {"password": HASH, "role": "admin"}})
    assert known.by_password("anna", PASSWORD) == Identity("anna", "admin")
    assert known.by_password("anna", PASSWORD + ".") is None
    assert known.by_password("ben", PASSWORD) is None


def test_who_has_no_users_knows_nobody() -> None:
    assert accounts().by_password("anna", "") is None


def test_a_token_is_known_by_its_hash() -> None:
    token = new_token()
    known = accounts(tokens={"grafana": {"token": hash_token(token)}})
    assert known.by_token(token) == Identity("token grafana", "viewer")
    assert known.by_token(hash_token(token)) is None
    assert known.by_token("") is None


def test_secrets_come_from_the_environment_and_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = new_token()
    monkeypatch.setenv("ANNA", PASSWORD)
    (tmp_path / "token").write_text(f"{token}\nthe second line is not read\n")
    known = accounts({"anna": {"password": {"env": "ANNA"}}}, {"grafana": {"token": {"file": tmp_path / "token"}}})
    assert known.by_password("anna", PASSWORD) == Identity("anna", "viewer")
    assert known.by_token(token) == Identity("token grafana", "viewer")


@pytest.mark.parametrize(
    ("users", "tokens", "message"),
    [
        (
            {"anna": {"password": PASSWORD}},
            {},
            "the password of user 'anna' is in plain text; .* onsight hash-password",
        ),
        ({"anna": {"password": "$argon2id$nonsense"}}, {}, "the hash of user 'anna' is damaged"),
        ({"anna": {"password": {"env": "NOT_SET"}}}, {}, "variable NOT_SET with the secret of user 'anna' is not set"),
        ({"anna": {"password": {"env": "SHORT"}}}, {}, "the password of user 'anna' must have 8 characters or more"),
        ({}, {"x": {"token": {"env": "SHORT"}}}, "token 'x' must have 32 characters or more: onsight make-token"),
        ({}, {"x": {"token": "a" * 40}}, "token 'x' is in plain text"),
        ({}, {"x": {"token": "sha256:abc"}}, "the hash of token 'x' is damaged"),
        ({}, {"x": {"token": {"file": "/no/such/file"}}}, "cannot read the secret of token 'x' from .*: No such file"),
    ],
)
def test_a_bad_secret_is_told(
    users: dict[str, object], tokens: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORT", "short")
    with pytest.raises(ConfigError, match=message):
        accounts(users, tokens)


def test_an_empty_file_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match=r"the first line of .* is empty"):
        accounts({"anna": {"password": {"file": tmp_path / "empty"}}})


def test_a_secret_has_one_place() -> None:
    with pytest.raises(ValueError, match="either 'env' or 'file'"):
        SecretFrom(env="A", file=Path("b"))
    with pytest.raises(ValueError, match="either 'env' or 'file'"):
        SecretFrom()


def test_the_commands_make_what_the_settings_take() -> None:
    made = CliRunner().invoke(cli_secrets.hash_password, input=f"{PASSWORD}\n").output.strip()
    assert accounts({"anna": {"password": made}}).by_password("anna", PASSWORD) is not None
    token, hashed = (line.split()[1] for line in CliRunner().invoke(cli_secrets.make_token).output.splitlines())
    assert accounts(tokens={"x": {"token": hashed}}).by_token(token) is not None
    refused = CliRunner().invoke(cli_secrets.hash_password, input="short\n")
    assert isinstance(refused.exception, ConfigError)


# Sessions


def test_a_session_ends_by_itself_or_when_it_is_closed() -> None:
    clock = Clock()
    sessions, anna = Sessions(60, clock), Identity("anna", "viewer")
    first, second = sessions.open(anna), sessions.open(anna)
    assert sessions.get(first) == sessions.get(second) == anna
    sessions.close(first)
    assert sessions.get(first) is None
    clock.now += 59
    assert sessions.get(second) == anna
    clock.now += 1
    assert sessions.get(second) is None
    assert sessions.get("") is None


def test_sessions_do_not_pile_up() -> None:
    sessions, anna = Sessions(60), Identity("anna", "viewer")
    keys = [sessions.open(anna) for _ in range(1001)]
    assert sessions.get(keys[0]) is None
    assert sessions.get(keys[1]) == sessions.get(keys[-1]) == anna


# Waits


def test_waits_between_attempts_grow() -> None:
    clock = Clock()
    limiter = LoginLimiter(clock)
    assert [limiter.begin("192.0.2.1", f"name {n}") for n in range(5)] == [0.0] * 5
    waits = []
    for number in range(12):
        waits.append(limiter.begin("192.0.2.1", f"other {number}"))
        clock.now += waits[-1]
        assert limiter.begin("192.0.2.1", f"other {number}") == 0.0
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_a_name_is_protected_from_many_addresses_but_not_locked() -> None:
    clock = Clock()
    limiter = LoginLimiter(clock)
    for number in range(20):
        clock.now += limiter.begin(f"192.0.2.{number}", "anna")
        limiter.begin(f"192.0.2.{number}", "anna")
    assert 0 < limiter.begin("198.51.100.1", "anna") <= 30
    assert limiter.begin("198.51.100.1", "ben") == 0


def test_success_clears_the_name_and_takes_back_one_attempt_of_the_address() -> None:
    limiter = LoginLimiter(Clock())
    for _ in range(4):
        limiter.begin("192.0.2.1", "anna")
    limiter.begin("192.0.2.1", "mallory")
    limiter.succeed("192.0.2.1", "mallory")
    assert limiter.begin("192.0.2.1", "anna") == 0
    assert limiter.begin("192.0.2.1", "mallory") == 1


def test_attempts_are_forgotten_after_an_hour() -> None:
    clock = Clock()
    limiter = LoginLimiter(clock)
    for _ in range(5):
        limiter.begin("192.0.2.1", "anna")
    clock.now += 3600
    assert limiter.begin("192.0.2.1", "anna") == 0
    assert limiter.begin("192.0.2.1", "anna") == 0


def test_the_addresses_of_one_ipv6_network_are_one() -> None:
    limiter = LoginLimiter(Clock())
    for number in range(5):
        limiter.begin(f"2001:db8::{number}", f"name {number}")
    assert limiter.begin("2001:db8::ffff", "anna") == 1
    assert limiter.begin("2001:db8:0:1::1", "ben") == 0


def test_memory_of_attempts_is_bounded() -> None:
    limiter = LoginLimiter(Clock())
    for number in range(10_050):
        limiter.begin(f"client {number}", f"name {number}")
    assert len(limiter._addresses._attempts) == len(limiter._names._attempts) == 10_000


# Where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "cameras.example.org", ""])
def test_without_users_it_listens_nowhere_else(host: str) -> None:
    with pytest.raises(ConfigError, match="give it 'users' or 'tokens'"):
        check_exposure(WebSettings(host=host))
    check_exposure(WebSettings(host=host, users={"anna": UserSettings(password=HASH)}))
    check_exposure(WebSettings(host=host, tokens={"x": TokenSettings(token=hash_token(new_token()))}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_without_users_it_listens_at_home(host: str) -> None:
    check_exposure(WebSettings(host=host))


def test_without_users_it_has_no_other_names() -> None:
    with pytest.raises(ConfigError, match="'hosts' and 'proxies' let others reach the page"):
        check_exposure(WebSettings(hosts=("cameras.example.org",)))


def test_tls_needs_both_files() -> None:
    with pytest.raises(ConfigError, match="both 'certificate' and 'key'"):
        check_exposure(WebSettings(certificate=Path("c.pem")))


def test_plain_text_on_the_network_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    check_exposure(WebSettings(host="0.0.0.0", users={"anna": UserSettings(password=HASH)}))
    assert "in plain text" in caplog.text


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (0.0, "until a minute after their end"),  # they are made all the same, and deleted at the next sweep
        (30.0, "until a minute after their end"),
        (90 * 60.0, "for 90 minutes"),
        (3600.0, "for 1 hour"),
        (72 * 3600.0, "for 3 days"),
        (14 * 86400.0, "for 14 days"),
        (None, "until somebody deletes them"),
    ],
)
def test_the_notice_tells_what_is_kept_and_for_how_long(keep: float | None, told: str) -> None:
    start = "These cameras are recorded. Kept are events"
    assert recording_notice(keep, clips=True) == f"{start}, their pictures and clips {told}."
    assert recording_notice(keep, clips=False) == f"{start} and their pictures, no clips, {told}."
