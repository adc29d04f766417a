"""Who reads along, and how far: a reader that must not miss anything may hold up the command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator

LINGER = 10.0
"""How long a reader that has gone may take to come back and read on, in seconds."""


class Readers:
    """How far those have come who read one stream, answer by answer."""

    def __init__(self) -> None:
        self._reading: list[int] = []
        self._lingering: list[tuple[int, int, float]] = []  # from where, to where, and until when

    @contextlib.contextmanager
    def at(self, offset: int) -> Generator[None]:
        """Someone waits here for what comes next."""
        for left in self._lingering:
            if left[0] <= offset <= left[1]:
                self._lingering.remove(left)  # it is this one who comes back
                break
        self._reading.append(offset)
        try:
            yield
        finally:
            self._reading.remove(offset)

    def left(self, since: int, offset: int) -> None:
        """Someone who waited at `since` was given everything up to `offset`, and will ask for more."""
        self._lingering.append((since, offset, time.monotonic() + LINGER))

    @property
    def slowest(self) -> int | None:
        """How far the slowest one has come; None if nobody reads."""
        now = time.monotonic()
        self._lingering = [left for left in self._lingering if left[2] > now]
        return min([*self._reading, *(left[1] for left in self._lingering)], default=None)
