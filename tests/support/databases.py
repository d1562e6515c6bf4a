"""Where the tests keep events: SQLite, and a PostgreSQL server of their own that is gone at the end."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy import URL, create_engine

from pipeline.serve.store import EventStore

OpenStore: TypeAlias = Callable[..., EventStore]
"""Opens a store that is empty at first, and that same one each time; with the options of `EventStore`."""

_USER = "onsight"


class Server:
    """The server whose socket is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._admin = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        self._numbers = count()

    @contextmanager
    def database(self, encoding: str = "UTF8") -> Iterator[str]:
        """The URL of a database that is empty."""
        name = f"events{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'")
        yield self._url(name).render_as_string()
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")

    def cut_off(self) -> None:
        """Ends all connections, as a server does that is started again."""
        with self._admin.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ~ '^events'"
            )

    def close(self) -> None:
        self._admin.dispose()

    def _url(self, name: str) -> URL:
        return URL.create("postgresql", _USER, database=name, query={"host": str(self._folder)})


@contextmanager
def serving() -> Iterator[Server]:
    """Skips where there is no PostgreSQL; fails instead where `CI` is set, for `.ci/run` installs it."""
    folders = [os.environ["PATH"], *glob("/usr/lib/postgresql/*/bin")]  # Debian has its programs in no PATH
    programs = [shutil.which(name, path=os.pathsep.join(folders)) for name in ("initdb", "pg_ctl")]
    if None in programs:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs PostgreSQL: apt-get install postgresql")
    initdb, pg_ctl = map(str, programs)
    account = _account()
    with tempfile.TemporaryDirectory(prefix="onsight-", ignore_cleanup_errors=True) as name:  # a short path: a socket's
        folder, data = Path(name), f"{name}/data"
        if account:
            os.chown(folder, account["user"], account["group"])

        def do(*command: str) -> None:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **account)
            assert done.returncode == 0, done.stderr

        do(initdb, "-D", data, "-U", _USER, "-E", "UTF8", "--no-locale", "--auth=trust", "--no-sync")
        options = shlex.join(["-F", "-h", "", "-k", name])  # nothing is synced, or listened to but the socket
        do(pg_ctl, "-D", data, "-w", "-l", f"{name}/log", "-o", options, "start")
        try:
            server = Server(folder)
            yield server
            server.close()
        finally:
            do(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")


def _account() -> dict[str, Any]:
    """How `subprocess` runs it: PostgreSQL refuses to serve root."""
    if os.geteuid() != 0:
        return {}
    import pwd  # Windows has none

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
