"""Who may see the page: people with passwords, programs with tokens. Only hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from pipeline.errors import ConfigError
from pipeline.serve.web.settings import Role, TokenSettings, UserSettings, read_secret

_SHORTEST_PASSWORD = 8
_SHORTEST_TOKEN = 32
_PREFIX = "sha256:"

_HASHER = PasswordHasher()  # Argon2id, parameters of RFC 9106 for memory-constrained machines


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `name` is what the audit log holds."""

    name: str
    role: Role


def hash_password(password: str) -> str:
    """The Argon2id hash to put into a configuration."""
    return _HASHER.hash(password)


def check_password(password: str, what: str) -> str:
    """The password, if it is long enough.

    Raises:
        ConfigError: it is not.
    """
    if len(password) < _SHORTEST_PASSWORD:
        raise ConfigError(f"{what} must have {_SHORTEST_PASSWORD} characters or more")
    return password


def hash_token(token: str) -> str:
    """The hash of a random token: nothing slower is needed, for there is nothing to guess."""
    return _PREFIX + hashlib.sha256(token.encode(errors="replace")).hexdigest()


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


class Accounts:
    """All users and tokens.

    Raises:
        ConfigError: a secret is missing, too short, or in plain text where only a hash belongs.
    """

    def __init__(self, users: Mapping[str, UserSettings], tokens: Mapping[str, TokenSettings]) -> None:
        self._hashes = {name: _password_hash(name, user) for name, user in users.items()}
        self._users = {name: Identity(name, user.role) for name, user in users.items()}
        self._tokens = {_token_hash(name, each): Identity(f"token {name}", each.role) for name, each in tokens.items()}

    def by_password(self, name: str, password: str) -> Identity | None:
        """Takes as long for a name that does not exist as for a wrong password."""
        try:
            _HASHER.verify(self._hashes.get(name) or _decoy(), password)
        except (VerificationError, InvalidHashError):
            return None
        return self._users.get(name)

    def by_token(self, token: str) -> Identity | None:
        return self._tokens.get(hash_token(token))


@cache
def _decoy() -> str:
    return hash_password(new_token())


def _password_hash(name: str, user: UserSettings) -> str:
    value = read_secret(user.password, f"user '{name}'")
    if value.startswith("$argon2"):
        try:
            extract_parameters(value)
        except InvalidHashError:
            raise ConfigError(f"the hash of user '{name}' is damaged; make a new one: onsight hash-password") from None
        return value
    if isinstance(user.password, str):
        raise ConfigError(f"the password of user '{name}' is in plain text; put its hash there: onsight hash-password")
    return hash_password(check_password(value, f"the password of user '{name}'"))


def _token_hash(name: str, token: TokenSettings) -> str:
    value = read_secret(token.token, f"token '{name}'")
    if value.startswith(_PREFIX):
        if len(value) != len(hash_token("")):
            raise ConfigError(f"the hash of token '{name}' is damaged; make a new one: onsight make-token")
        return value.lower()
    if isinstance(token.token, str):
        raise ConfigError(f"token '{name}' is in plain text; put its hash there: onsight make-token")
    if len(value) < _SHORTEST_TOKEN:
        raise ConfigError(f"token '{name}' must have {_SHORTEST_TOKEN} characters or more: onsight make-token")
    return hash_token(value)
