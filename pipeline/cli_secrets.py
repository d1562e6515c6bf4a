"""The commands `hash-password` and `make-token`: what goes into the settings of the page of `onsight serve`."""

from __future__ import annotations

import sys

import click

from pipeline.extras import needing


@click.command("hash-password")
def hash_password() -> None:
    """Print the hash of a password, asked for or read from a pipe, for 'users' of the page."""
    with needing("serve"):
        from pipeline.serve.web import accounts
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    click.echo(accounts.hash_password(accounts.check_password(password, "the password")))


@click.command("make-token")
def make_token() -> None:
    """Print a new random token for a program, and its hash for 'tokens' of the page."""
    with needing("serve"):
        from pipeline.serve.web import accounts
    token = accounts.new_token()
    click.echo(f"token: {token}")
    click.echo(f"hash:  {accounts.hash_token(token)}")
