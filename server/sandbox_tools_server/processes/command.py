"""One command: its shell, its output, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Container, Mapping
from typing import Literal

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.settings import MARKER
from sandbox_tools_server.wire import (
    Closed,
    CommandInput,
    CommandStart,
    CommandStatus,
    Event,
    Exited,
    Gap,
    Output,
    Started,
    Stream,
    TerminalSize,
)

from . import tree
from .bell import Bell
from .input import Input
from .log import SHORT, OutputLog
from .pump import Pump
from .readers import Readers
from .spawn import Child, Spawner, resize

logger = logging.getLogger(__name__)

LATE = 0.05
"""Once what the shell printed is read: how long a writer that still holds the pipe may take, in seconds."""

COMMAND_SHOWN = 1_000
"""How much of a command a list shows, in characters."""

Positions = Mapping[Stream, int]
"""An offset for each stream."""


class Command:
    """A command from its start until nothing that it started holds its output open.

    Its life depends on no connection: readers come and go by offset. It belongs to one event loop.

    Arguments:
        new_log: makes the log of one of its streams, given what to call when that has room again.
        window: how far behind a reader may be that must not miss anything, in bytes.
    """

    def __init__(
        self, id: str, spec: CommandStart, new_log: Callable[[Stream, Callable[[], object]], OutputLog], window: int
    ) -> None:
        self.id = id
        self.spec = spec
        streams: list[Stream] = ["stdout", "stderr"] if spec.streams == "separate" and not spec.tty else ["stdout"]
        self.logs: dict[Stream, OutputLog] = {stream: new_log(stream, self._go_on) for stream in streams}
        self.input: Input | None = None
        self.exit: Exited | None = None
        self.changed = Bell()
        self.started_at = time.time()
        self.ended_at = math.inf
        self._window = window
        self._readers: dict[Stream, Readers] = {stream: Readers() for stream in streams}
        self._pumps: list[Pump] = []
        self._exit_sizes: dict[Stream, int] = {}
        self._began = tree.now()
        self._gone_at = math.inf
        self._reason: Literal["timed_out", "killed"] | None = None
        self._unverified = False
        self._ending: asyncio.Task[None] | None = None

    async def start(self, spawner: Spawner, cwd: str, env: Mapping[str, str]) -> None:
        """Start the shell and return; `Refused` if it cannot be."""
        child = await spawner.spawn(self.spec, cwd, {**env, **self.spec.env, MARKER: self.id})
        self._spawner = spawner
        self._child = child
        if child.input is not None:
            self.input = Input(child.input, tty=self.spec.tty is not None)
        for fd, (stream, log) in zip(child.outputs, self.logs.items(), strict=True):
            self._pumps.append(Pump(fd, log, self.changed.ring, self._holding(stream)))
        self._life = asyncio.get_running_loop().create_task(self._live(child))

    def _holding(self, stream: Stream) -> Callable[[], bool]:
        log, readers = self.logs[stream], self._readers[stream]

        def held() -> bool:
            slowest = readers.slowest if log.size > self._window else None
            return slowest is not None and log.size - slowest > self._window

        return held

    def _go_on(self) -> None:
        for pump in self._pumps:
            pump.go_on()

    async def _live(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(self.spec.timeout, self.end, "timed_out") if self.spec.timeout else None
        code = await self._spawner.wait(child)
        reason = self._reason  # what ends it from now on has not ended the shell
        self._gone_at = tree.now()
        duration = self._gone_at - self._began
        if alarm:
            alarm.cancel()
        if self._ending:
            await self._ending  # the exit is told when all of the command is gone, so that its last words are in
        await self._drain()
        if self.input:
            self.input.drop()
        left_running = await self._left_something() or not self.closed
        if left_running:
            self._log.touch()
        for log in self.logs.values():
            await log.settle()
        self._exit_sizes = self.sizes
        self.exit = Exited.model_construct(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            timed_out=reason == "timed_out",
            killed=reason == "killed",
            duration=duration,
            left_running=left_running,
            unverified=self._unverified,
            log=self._log.path,
            more_logs=self._log.more_paths,
            dropped=sum(log.dropped for log in self.logs.values()),
        )
        self.ended_at = time.time()
        self.changed.ring()

    async def _left_something(self) -> bool:
        """Whether something of it runs on. Where that cannot be told from what others left, the answer is in doubt."""
        if not tree.has_orphans():
            return False
        try:
            if not await asyncio.to_thread(tree.orphans_since, self._began):
                return False
            self._unverified = self._unverified or bool(await asyncio.to_thread(tree.strays, self._began))
            return bool(await asyncio.to_thread(tree.started_by, self._child.pid, self.id, self._gone_at))
        except OSError:
            logger.warning("What command %s left running could not be looked for.", self.id, exc_info=True)
            return True

    @property
    def closed(self) -> bool:
        """Whether nothing holds its output open any more."""
        return all(pump.closed for pump in self._pumps)

    @property
    def done(self) -> bool:
        """Whether the shell is gone and nothing holds its output open any more."""
        return self.exit is not None and self.closed

    @property
    def sizes(self) -> dict[Stream, int]:
        """How much was printed to each stream by now, in bytes."""
        return {stream: log.size for stream, log in self.logs.items()}

    @property
    def _log(self) -> OutputLog:
        return self.logs["stdout"]

    async def _drain(self) -> None:
        """Read what the shell left in its pipes, then wait a moment for writers that are late."""
        for pump in self._pumps:
            waiting = pump.waiting
            while waiting > 0 and (count := pump.read()):
                waiting -= count
                await asyncio.sleep(0)  # others have their turn
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
            gone = await tree.end(lambda: tree.started_by(self._child.pid, self.id, self._gone_at))
            self._unverified = not gone or bool(await asyncio.to_thread(tree.strays, self._began))
        except OSError:  # out of descriptors, say: what can be reached without looking is ended, and no more is claimed
            logger.warning("The processes of command %s could not be looked for.", self.id, exc_info=True)
            self._unverified = True
            if self.exit is None and self._child.pid in self._spawner:  # pragma: no branch  (else it has ended already)
                os.killpg(self._child.pid, signal.SIGKILL)

    async def kill(self) -> tuple[bool, bool]:
        """End the command and wait until it is over: whether there was anything to end, and whether doubt is left."""
        if self.exit and not await asyncio.to_thread(tree.started_by, self._child.pid, self.id, self._gone_at):
            return False, self._unverified
        await asyncio.shield(self.end("killed"))
        await self.over()
        return True, self._unverified

    async def over(self) -> None:
        """Wait until the exit is told."""
        await asyncio.shield(self._life)

    async def wait(self, after: Positions, seconds: float, enough: int | None = None, *, exited: bool = False) -> None:
        """Return once there is something to say: the exit; after it, more output or the close; or after `seconds`.

        Arguments:
            enough: so many bytes of output are something to say, too.
            exited: whether the exit was told already.
        """
        news = self._news(after, 1 if exited else enough, exited)
        deadline = time.monotonic() + seconds
        while not news() and (left := deadline - time.monotonic()) > 0:
            await self.changed.wait(left)

    def _news(self, after: Positions, enough: int | None, exited: bool) -> Callable[[], bool]:
        def is_there() -> bool:
            if self.done if exited else self.exit:
                return True
            return enough is not None and self._beyond(after) >= enough

        return is_there

    def _beyond(self, after: Positions) -> int:
        return sum(max(log.size - after[stream], 0) for stream, log in self.logs.items())

    async def follow(
        self, after: Positions, seconds: float, enough: int | None, limit: int, *, exited: bool
    ) -> list[Event]:
        """Wait as `wait` does and tell what there is.

        Who says how much is enough will come back for the rest, and misses nothing: the command waits for it.
        """
        if enough is None:
            await self.wait(after, seconds, exited=exited)
            if self.exit is None:
                self.keep_on_disk()  # whoever knows of it may ask the next server
            return await self.events(after, limit)
        with contextlib.ExitStack() as reading:
            for stream, readers in self._readers.items():
                reading.enter_context(readers.at(after[stream]))
            self._go_on()
            await self.wait(after, seconds, min(enough, self._window), exited=exited)
            if self.exit is None:
                self.keep_on_disk()
            events = await self.events(after, limit)
        for stream, readers in self._readers.items():
            readers.left(after[stream], reached(events, stream, after[stream]))
        self._go_on()
        return events

    async def events(self, after: Positions, limit: int) -> list[Event]:
        """What there is to tell from some output offsets on, with at most `limit` bytes of output."""
        events: list[Event] = [Started.model_construct(at=self.started_at)]
        exit, closed = self.exit, self.done
        exit_told = all_told = True
        waiting = sum(log.size > after[stream] for stream, log in self.logs.items())
        for stream, log in self.logs.items():
            pieces, end = await log.read(after[stream], limit // max(waiting, 1))  # one must not starve the other
            waiting -= 1
            position = after[stream]
            for start, data in pieces:
                if start > position:
                    events.append(Gap.model_construct(stream=stream, start=position, end=start))
                events.append(Output.model_construct(stream=stream, offset=start, data=data))
                position = start + len(data)
                limit -= len(data)
            if end > position:
                events.append(Gap.model_construct(stream=stream, start=position, end=end))
            exit_told = exit_told and end >= self._exit_sizes.get(stream, math.inf)
            all_told = all_told and end >= log.size
        if exit and exit_told:
            events.append(exit)
            if closed and all_told:
                events.append(Closed(size=sum(self.sizes.values())))
        return events

    async def send(self, more: CommandInput, wait: float) -> Input:
        """Give the command more to read; `Refused` if it takes none."""
        if self.input is None:
            raise Refused(
                "input_closed", "The command was started without input.", "Start it with an open stdin to send it any."
            )
        await self.input.take(more, wait)
        return self.input

    def resize(self, size: TerminalSize) -> None:
        """Change the size of its terminal; `Refused` if it has none."""
        if self.spec.tty is None:
            raise Refused("invalid_request", "The command has no terminal.", "Start it with `tty` to give it one.")
        if self._pumps and not self.closed:
            resize(self._child, size)

    def keep_on_disk(self) -> None:
        """Leave a trace of it for the server that comes after a crash."""
        if not self.closed:
            self._log.touch()
            for log in self.logs.values():
                log.write()

    @property
    def on_disk(self) -> int:
        """How many bytes of its output are on disk."""
        return sum(log.on_disk for log in self.logs.values())

    @property
    def has_files(self) -> bool:
        """Whether any of its output is, or may be, on disk."""
        return any(log.size > SHORT or log.has_file for log in self.logs.values())

    async def settle(self) -> None:
        """Put on disk what was printed since the exit, and hold nothing of it in memory: it is done."""
        for log in self.logs.values():
            await log.settle()
            log.release()

    def stop(self) -> None:
        """Take in no more output: the server stops."""
        for pump in self._pumps:
            pump.stop()

    def forget(self) -> None:
        """Delete its output."""
        for log in self.logs.values():
            log.remove()

    def status(self, marked: Container[str]) -> CommandStatus:
        """The command as it stands in a list.

        Arguments:
            marked: ids of commands of which something runs.
        """
        return CommandStatus(
            id=self.id,
            command=self.spec.command[:COMMAND_SHOWN],
            started_at=self.started_at,
            exit=self.exit,
            closed=self.closed,
            left_running=self.exit is not None and (not self.closed or self.id in marked),
            output_bytes=sum(self.sizes.values()),
            takes_input=self.input is not None and not self.input.closed,
            tty=self.spec.tty is not None,
            log=self._log.path,
        )


def reached(events: list[Event], stream: Stream, after: int) -> int:
    """How far some events bring a reader of a stream who has come to `after`."""
    for event in events:
        if isinstance(event, Output) and event.stream == stream:
            after = event.offset + len(event.data)
        elif isinstance(event, Gap) and event.stream == stream:
            after = event.end
    return after
