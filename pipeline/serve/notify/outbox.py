"""Messages on their way: a queue on disk, so that what was not delivered yet outlives the process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, create_engine, event, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from pipeline.errors import SinkError

_METADATA = MetaData()
_MESSAGES = Table(
    "messages",
    _METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("target", String, nullable=False, index=True),
    Column("id", String, nullable=False),
    Column("body", String, nullable=False),
    Column("put", Float, nullable=False),
    Column("due", Float, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One to be delivered. `put` and `due` are seconds of the epoch, `tries` those that failed."""

    number: int
    target: str
    id: str
    body: str
    put: float
    due: float
    tries: int


class Outbox:
    """The queue in `file`, an SQLite database of its own. Any thread may use it.

    Raises:
        SinkError: the file cannot be opened or written.
    """

    def __init__(self, file: Path) -> None:
        self._engine = create_engine(f"sqlite:///{file}")
        event.listen(self._engine, "connect", _set_up)
        self._file = file
        with self._explained():
            _METADATA.create_all(self._engine)

    def put(self, target: str, id: str, body: str, now: float) -> None:
        """Adds a message, due now."""
        with self._explained(), self._engine.begin() as connection:
            connection.execute(_MESSAGES.insert().values(target=target, id=id, body=body, put=now, due=now, tries=0))

    def due(self, target: str, now: float, limit: int = 20) -> list[Message]:
        """The messages to `target` that are due, oldest first."""
        wanted = select(_MESSAGES).where(_MESSAGES.c.target == target, _MESSAGES.c.due <= now)
        with self._explained(), self._engine.connect() as connection:
            return [Message(**row) for row in connection.execute(wanted.order_by("number").limit(limit)).mappings()]

    def remove(self, message: Message) -> None:
        with self._explained(), self._engine.begin() as connection:
            connection.execute(_MESSAGES.delete().where(_MESSAGES.c.number == message.number))

    def postpone(self, message: Message, due: float) -> None:
        """Notes a try that failed, and when the next one is due."""
        change = _MESSAGES.update().where(_MESSAGES.c.number == message.number)
        with self._explained(), self._engine.begin() as connection:
            connection.execute(change.values(due=due, tries=message.tries + 1))

    def keep_only(self, targets: Sequence[str]) -> int:
        """Removes messages to anyone else, who is in the configuration no more. Returns how many."""
        with self._explained(), self._engine.begin() as connection:
            return connection.execute(_MESSAGES.delete().where(_MESSAGES.c.target.not_in(targets))).rowcount

    def drop(self, target: str, before: float) -> int:
        """Removes messages that were put earlier. Returns how many."""
        old = _MESSAGES.delete().where(_MESSAGES.c.target == target, _MESSAGES.c.put < before)
        with self._explained(), self._engine.begin() as connection:
            return connection.execute(old).rowcount

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Says in one line what is wrong with the file."""
        try:
            yield
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error))
            raise SinkError(f"the queue of notifications {self._file} cannot be used: {reason}") from None


def _set_up(connection: object, _: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]  # the driver's connection
    connection.execute("PRAGMA secure_delete=ON")  # type: ignore[attr-defined]
    connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[attr-defined]
