"""What the page is told: where it listens, who may see it, how good the pictures are."""

from __future__ import annotations

import logging
import os
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pipeline.errors import ConfigError

Role = Literal["viewer", "admin"]
"""A viewer sees everything but the audit log; an admin sees that, too, and changes things."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]

_LOG = logging.getLogger(__name__)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretFrom(_Strict):
    """Where a secret is read from: the environment variable `env` or the first line of `file`."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("give either 'env' or 'file'")
        return self


class UserSettings(_Strict):
    """Someone with a password: an Argon2 hash, or where a hash or the password itself is read from."""

    password: str | SecretFrom
    role: Role = "viewer"


class TokenSettings(_Strict):
    """A program with a token: `sha256:` and its hash, or where that or the token itself is read from."""

    token: str | SecretFrom
    role: Role = "viewer"


class WebSettings(_Strict):
    """The page.

    Args:
        users, tokens: by name. Without any the page is open to whoever sits at this machine, and listens nowhere else.
        certificate, key: PEM files; both or none.
        hosts: names under which the page is reached; others are refused. Empty: any, if users or tokens are needed.
        proxies: addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        session_hours: how long a sign-in lasts.
        notice: what is recorded, and for how long; everybody sees it.
        rate: pictures a second of each camera, at most.
        width: of the pictures, in pixels, at most.
        viewers: how many may watch at once.
    """

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    users: dict[Name, UserSettings] = {}
    tokens: dict[Name, TokenSettings] = {}
    certificate: Path | None = None
    key: Path | None = None
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    session_hours: float = Field(12.0, gt=0, le=24 * 31)
    notice: str = "Nothing is recorded."
    rate: float = Field(15.0, gt=0, le=120)
    width: int = Field(1280, ge=64, le=7680)
    quality: int = Field(80, ge=1, le=100)
    viewers: int = Field(100, ge=1)

    @property
    def open(self) -> bool:
        """Nobody has to sign in."""
        return not (self.users or self.tokens)


def check_exposure(settings: WebSettings) -> None:
    """Refuses what would show cameras to strangers.

    Raises:
        ConfigError: the page would be open to other machines, or half of the TLS files is missing.
    """
    if settings.open and not is_loopback(settings.host):
        raise ConfigError(
            f"the page will not listen on {settings.host} for everyone: give it 'users' or 'tokens', "
            "or leave 'host' at 127.0.0.1"
        )
    if settings.open and (settings.hosts or settings.proxies):
        raise ConfigError("'hosts' and 'proxies' let others reach the page: give it 'users' or 'tokens' first")
    if (settings.certificate is None) != (settings.key is None):
        raise ConfigError("TLS needs both 'certificate' and 'key'")
    if settings.certificate is None and not settings.proxies and not is_loopback(settings.host):
        _LOG.warning("passwords and pictures cross the network in plain text: give the page a certificate and a key")


def is_loopback(host: str) -> bool:
    """Only this machine reaches `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_secret(secret: str | SecretFrom, whose: str) -> str:
    """The secret itself.

    Raises:
        ConfigError: it is not where it should be, or empty.
    """
    if isinstance(secret, str):
        return secret
    if secret.env is not None:
        if not (value := os.environ.get(secret.env, "").strip()):
            raise ConfigError(f"the environment variable {secret.env} with the secret of {whose} is not set")
        return value
    assert secret.file is not None
    try:
        lines = secret.file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"cannot read the secret of {whose} from {secret.file}: {reason}") from None
    if not (value := lines[0].strip()):
        raise ConfigError(f"the first line of {secret.file}, the secret of {whose}, is empty")
    return value


def recording_notice(keep: float | None, clips: bool) -> str:
    """The notice of what is kept.

    Args:
        keep: seconds for which events are kept after their end; None: until somebody deletes them.
        clips: whether they have clips.
    """
    kept = "events, their pictures and clips" if clips else "events and their pictures, no clips,"
    return f"These cameras are recorded. Kept are {kept} {_how_long(keep)}."


def _how_long(seconds: float | None) -> str:
    if seconds is None:
        return "until somebody deletes them"
    minutes = ceil(seconds / 60)
    if minutes <= 1:
        return "until a minute after their end"  # what is older is deleted every minute
    size, unit = next((size, unit) for size, unit in _UNITS if minutes >= size and minutes % size == 0)
    return f"for {minutes // size} {unit}{'' if minutes == size else 's'}"


_UNITS = ((1440, "day"), (60, "hour"), (1, "minute"))
