"""What is the matter with the test camera: turned by tests, or by lines of text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias, get_args

from pipeline.errors import ConfigError, OnsightError

Mode: TypeAlias = Literal["well", "pause", "kill", "corrupt", "black", "freeze"]
"""`pause`: connections stay, but nothing is sent. `kill`: they are cut and new ones refused. `corrupt`: what is sent is
damaged. `black`, `freeze`: the picture is. `well`: nothing is the matter."""

MODES: tuple[Mode, ...] = get_args(Mode)


class Controls:
    """What is the matter with the camera now. Belongs to the event loop that serves it.

    Attributes:
        mode: `well` in the beginning.
        heeded_by: who does something when it is turned.
    """

    def __init__(self) -> None:
        self.mode: Mode = "well"
        self.heeded_by: list[Callable[[Mode], Awaitable[None]]] = []
        self._turned = asyncio.Event()

    async def turn(self, mode: str) -> None:
        """Does the camera a wrong, or makes it well again; on return it is done.

        Raises:
            ConfigError: there is no such mode.
        """
        found = next((each for each in MODES if each == mode), None)
        if found is None:
            raise ConfigError(f"'{mode}' is not understood: write one of {', '.join(MODES)}, or wait SECONDS")
        self.mode = found
        self._turned.set()
        self._turned.clear()
        for heed in self.heeded_by:
            await heed(found)

    async def until_not(self, mode: Mode) -> None:
        """Returns as soon as the mode is another."""
        while self.mode == mode:
            await self._turned.wait()

    async def obey(self, lines: asyncio.StreamReader, tell: Callable[[str], None]) -> None:
        """Does what each line says, one after the other, until they end: a mode, or `wait SECONDS`.

        Args:
            tell: is given `now MODE` when that is done, and what cannot be done.
        """
        while line := await lines.readline():
            words = line.decode(errors="replace").strip().lower()
            verb, _, seconds = words.partition(" ")
            if verb == "wait" and seconds.replace(".", "", 1).isdecimal():
                await asyncio.sleep(float(seconds))
            elif words:
                try:
                    await self.turn(words)
                    tell(f"now {self.mode}")
                except OnsightError as error:
                    tell(f"error: {error}")
