"""What a command is to read: taken once, however often it is sent, and written as fast as the command reads."""

from __future__ import annotations

import asyncio
import os
import time

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import CommandInput

from .bell import Bell

ROOM = 256 * 1024
"""How much input is held for a command that does not read it yet, in bytes."""

END_OF_FILE = b"\x04"
"""What ends the input of a terminal (termios(3), VEOF): at the start of a line; elsewhere it only ends the line."""


class Input:
    """A command's open stdin. It belongs to one event loop.

    Arguments:
        fd: the writing end, non-blocking; it is closed here.
        tty: whether that is a terminal's.
    """

    def __init__(self, fd: int, *, tty: bool) -> None:
        self.taken = 0
        self.closed = False
        self._fd = fd
        self._tty = tty
        self._pending = bytearray()
        self._last = b""
        self._ends_line = True
        self._changed = Bell()
        self._writing = False

    async def take(self, more: CommandInput, wait: float) -> None:
        """Take what is new of it, as far as there is room; wait for some room if there is none."""
        if more.offset > self.taken:
            raise Refused(
                "invalid_request",
                f"This input begins at byte {more.offset:,}, and only {self.taken:,} bytes were taken so far.",
                "Send what is between first.",
            )
        self._check_repeated(more)
        deadline = time.monotonic() + wait
        while not self.closed and len(self._pending) >= ROOM and (left := deadline - time.monotonic()) > 0:
            await self._changed.wait(left)
        data = more.data[self.taken - more.offset :]
        if self.closed:
            if data:
                raise Refused("input_closed", "The command takes no more input.", "See what it printed.")
            return
        part = data[: max(ROOM - len(self._pending), 0)]
        self.taken += len(part)
        self._last = (self._last + part)[-ROOM:]
        self._put(part)
        if more.close and len(part) == len(data):
            self.close()

    def _check_repeated(self, more: CommandInput) -> None:
        """What is sent again must be what was taken: else two write to it, and one would lose what it sent."""
        start = max(more.offset, self.taken - len(self._last))
        again = more.data[start - more.offset : self.taken - more.offset]
        at = start - self.taken + len(self._last)
        if self._last[at : at + len(again)] != again:
            raise Refused(
                "invalid_request",
                f"Other input was taken at byte {start:,}: somebody else writes to this command, too.",
                "Agree who does, ask how much was taken by an empty input at offset 0, and go on from there.",
            )

    def _put(self, data: bytes) -> None:
        self._pending += data
        if data:
            self._ends_line = data.endswith(b"\n")
        if self._pending and not self._writing:
            self._write()

    def _write(self) -> None:
        try:
            written = os.write(self._fd, self._pending)
        except BlockingIOError:
            written = 0
        except OSError:  # it reads no more, or is gone
            self._finish()
            return
        del self._pending[:written]
        self._changed.ring()
        if self._pending and not self._writing:
            self._writing = True
            asyncio.get_running_loop().add_writer(self._fd, self._write)
        elif not self._pending:
            self._pause()
            if self.closed:
                self._finish()

    def _pause(self) -> None:
        if self._writing:
            self._writing = False
            asyncio.get_running_loop().remove_writer(self._fd)

    def close(self) -> None:
        """Take no more; what was taken is still written."""
        if self._tty:
            self._put(END_OF_FILE if self._ends_line else END_OF_FILE * 2)
        self.closed = True
        if not self._pending:
            self._finish()

    def drop(self) -> None:
        """The command is gone: nobody will read what is left."""
        self._finish()

    def _finish(self) -> None:
        self.closed = True
        self._pending.clear()
        if self._fd >= 0:
            self._pause()
            os.close(self._fd)
            self._fd = -1
        self._changed.ring()
