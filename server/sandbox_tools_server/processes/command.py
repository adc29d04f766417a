"""One command: its shell, its output, and its end."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Mapping
from typing import Literal

from sandbox_tools_server.settings import MARKER
from sandbox_tools_server.wire import Closed, CommandStart, CommandStatus, Event, Exited, Started

from . import tree
from .bell import Bell
from .log import OutputLog
from .spawn import Child, Spawner

logger = logging.getLogger(__name__)

CHUNK = 256 * 1024
"""How much is read at a time, in bytes."""

DRAIN = 0.3
"""Once the shell is gone: the longest that its output may keep coming in, in seconds."""

LATE = 0.05
"""Once nothing is left to read: how long a writer that still holds the pipe may take, in seconds."""


class Command:
    """A command from its start until nothing that it started holds its output open.

    Its life depends on no connection: readers come and go by offset. It belongs to one event loop.
    """

    def __init__(self, id: str, spec: CommandStart, keep: int) -> None:
        self.id = id
        self.spec = spec
        self.log = OutputLog(keep)
        self.exit: Exited | None = None
        self.closed = False
        self.changed = Bell()
        self.started_at = time.time()
        self.ended_at = math.inf
        self._began = tree.now()
        self._reason: Literal["timed_out", "killed"] | None = None
        self._unverified = False
        self._ending: asyncio.Task[None] | None = None

    async def start(self, spawner: Spawner, cwd: str, env: Mapping[str, str]) -> None:
        """Start the shell and return; `Refused` if it cannot be."""
        child = await spawner.spawn(self.spec.command, cwd, {**env, **self.spec.env, MARKER: self.id})
        self._spawner = spawner
        self._child = child
        loop = asyncio.get_running_loop()
        loop.add_reader(child.output, self._read)
        self._life = loop.create_task(self._live(child))

    async def _live(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(self.spec.timeout, self.end, "timed_out") if self.spec.timeout else None
        code = await self._spawner.wait(child)
        duration = tree.now() - self._began
        if alarm:
            alarm.cancel()
        if self._ending:
            await self._ending  # the exit is told when all of the command is gone, so that its last words are in
        await self._drain()
        left_running = not self.closed or await self._left_something()
        self.exit = Exited(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            timed_out=self._reason == "timed_out",
            killed=self._reason == "killed",
            duration=duration,
            left_running=left_running,
            unverified=self._unverified,
        )
        self.ended_at = time.time()
        self.changed.ring()

    async def _left_something(self) -> bool:
        try:
            return bool(tree.orphans() and await asyncio.to_thread(tree.started_by, self._child.pid, self.id))
        except OSError:
            logger.warning("What command %s left running could not be looked for.", self.id, exc_info=True)
            return True

    @property
    def done(self) -> bool:
        """Whether the shell is gone and nothing holds its output open any more."""
        return self.exit is not None and self.closed

    def _read(self) -> bool:
        """Take in one chunk of output. Whether there may be more at once."""
        try:
            data = os.read(self._child.output, CHUNK)
        except BlockingIOError:
            return False
        if data:
            self.log.append(data)
        else:
            asyncio.get_running_loop().remove_reader(self._child.output)
            os.close(self._child.output)
            self.closed = True
        self.changed.ring()
        return not self.closed

    async def _drain(self) -> None:
        """Read what the shell left in the pipe, then wait a moment for writers that are late."""
        deadline = time.monotonic() + DRAIN
        more = True
        while more:
            more = not self.closed and self._read() and time.monotonic() < deadline
            await asyncio.sleep(0)  # others have their turn: a flood can go on for all of that time
        deadline = time.monotonic() + LATE
        while not self.closed and (left := deadline - time.monotonic()) > 0:
            await self.changed.wait(left)

    def end(self, reason: Literal["timed_out", "killed"]) -> asyncio.Task[None]:
        """End all that the command started. The task is done when it is gone, or will not go."""
        if self.exit is None and self._reason is None:
            self._reason = reason
        if self._ending is None or self._ending.done():
            self._ending = asyncio.get_running_loop().create_task(self._end())
        return self._ending

    async def _end(self) -> None:
        try:
            gone = await tree.end(lambda: tree.started_by(self._child.pid, self.id))
            self._unverified = not gone or bool(await asyncio.to_thread(tree.strays, self._began))
        except OSError:  # out of descriptors, say: what can be reached without looking is ended, and no more is claimed
            logger.warning("The processes of command %s could not be looked for.", self.id, exc_info=True)
            self._unverified = True
            if self.exit is None and self._child.pid in self._spawner:  # pragma: no branch  (else it has ended already)
                os.killpg(self._child.pid, signal.SIGKILL)

    async def kill(self) -> tuple[bool, bool]:
        """End the command and wait until it is over: whether there was anything to end, and whether doubt is left."""
        if self.exit and not await asyncio.to_thread(tree.started_by, self._child.pid, self.id):
            return False, self._unverified
        await asyncio.shield(self.end("killed"))
        await self.over()
        return True, self._unverified

    async def over(self) -> None:
        """Wait until the exit is told."""
        await asyncio.shield(self._life)

    async def wait(self, after: int, seconds: float) -> None:
        """Return once there is something to say: the exit; after it, more output or the close; or after `seconds`."""
        had_exited = self.exit is not None
        deadline = time.monotonic() + seconds
        while not self._news(after, had_exited) and (left := deadline - time.monotonic()) > 0:
            await self.changed.wait(left)

    def _news(self, after: int, had_exited: bool) -> bool:
        if had_exited:
            return self.closed or self.log.size > after
        return self.exit is not None or self.log.size - after >= self.log.keep // 2  # before any of it is dropped

    def events(self, after: int) -> list[Event]:
        """All there is to tell from an output offset on."""
        events: list[Event] = [Started(at=self.started_at), *self.log.read(after)]
        if self.exit:
            events.append(self.exit)
            if self.closed:
                events.append(Closed(size=self.log.size))
        return events

    def status(self) -> CommandStatus:
        """The command as it stands in a list."""
        return CommandStatus(
            id=self.id,
            command=self.spec.command,
            started_at=self.started_at,
            exit=self.exit,
            closed=self.closed,
            output_bytes=self.log.size,
        )
