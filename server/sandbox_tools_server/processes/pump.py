"""Move what comes out of a pipe into a log, no faster than the log and whoever must not miss any of it can take it."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import termios
from collections.abc import Callable

from .log import OutputLog

CHUNK = 256 * 1024
"""How much is read at a time, in bytes."""

LOOK_AGAIN = 0.5
"""How often a pump that waits for readers looks whether they are still there, in seconds."""


class Pump:
    """Reads one pipe or terminal to its end. It belongs to one event loop.

    Arguments:
        fd: the reading end, non-blocking; it is closed here, and never before its end: a writer would die of it.
        log: where it all goes.
        changed: called after each piece, and at the end.
        held: whether a reader is so far behind that it would miss something.
    """

    def __init__(self, fd: int, log: OutputLog, changed: Callable[[], object], held: Callable[[], bool]) -> None:
        self.log = log
        self.closed = False
        self._fd = fd
        self._changed = changed
        self._held = held
        self._going = False
        self._alarm: asyncio.TimerHandle | None = None
        self.go_on()

    def go_on(self) -> None:
        """Read on, unless there is still a reason to wait."""
        if self.closed or self._going or self.log.full:
            return
        loop = asyncio.get_running_loop()
        if self._held():
            if self._alarm is None:
                self._alarm = loop.call_later(LOOK_AGAIN, self._look_again)
            return
        self._going = True
        loop.add_reader(self._fd, self._ready)

    def _look_again(self) -> None:
        self._alarm = None
        self.go_on()

    def _ready(self) -> None:
        self.read()
        if self._going and (self.log.full or self._held()):
            self._pause()
            self.go_on()

    def _pause(self) -> None:
        if self._going:
            self._going = False
            asyncio.get_running_loop().remove_reader(self._fd)

    def stop(self) -> None:
        """Read no more, whoever still writes: there is nowhere to put it."""
        if not self.closed:
            self._pause()
            os.close(self._fd)
            self.closed = True

    @property
    def waiting(self) -> int:
        """How many bytes there are to read now."""
        if self.closed:
            return 0
        count = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, count)
        return count[0]

    def read(self) -> int:
        """Take in one piece, even if someone should be waited for. How many bytes it has."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:  # pragma: no cover  (select(2): one may be woken for nothing)
            return 0
        except OSError:  # what a terminal says when the last program has left it (EIO)
            data = b""
        if data:
            self.log.append(data)
        else:
            self.stop()
        self._changed()
        return len(data)
