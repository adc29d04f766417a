"""The raw wire client: whole bytes, exit codes and versions, with nothing rendered or clipped."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from sandbox_tools_server.wire import (
    CommandEnd,
    CommandStart,
    DirectoryList,
    Event,
    Exited,
    FileExists,
    FileWritten,
    Gap,
    InputTaken,
    Output,
    TerminalSize,
)

from . import operations
from .errors import Refused
from .operations import FileContent, Flow
from .streaming import Position, Skipped
from .transport import Transport

Streams = Literal["merged", "separate"]
"""Whether stderr comes with stdout, in the order that both were printed, or by itself."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        output: what it printed, stdout and stderr in the order they came; stdout alone if the streams are separate.
        exit_code: None if a signal ended it.
        signal: the signal's number, or None.
        timed_out: whether it was ended because its time was up.
        killed: whether it was ended on request.
        duration: seconds.
        dropped: bytes missing from the output, because more was printed unread than the sandbox keeps.
        id: its name; what it left running goes by it too.
        stderr: what it printed to stderr, if the streams are separate.
        log: the file in the sandbox that has its output, or None if that was short.
    """

    output: bytes
    exit_code: int | None
    signal: int | None
    timed_out: bool
    killed: bool
    duration: float
    dropped: int = 0
    id: str = ""
    stderr: bytes = b""
    log: str | None = None


def new_id() -> str:
    """An id for one command, short enough for a model to repeat."""
    return secrets.token_hex(8)


def command_start(
    command: str,
    cwd: str | None,
    env: Mapping[str, str] | None,
    timeout: float | None,
    *,
    stdin_open: bool = False,
    streams: Streams = "merged",
    tty: TerminalSize | None = None,
) -> CommandStart:
    """A start that can be sent; `Refused` (code `invalid_request`) if it is none."""
    with _checked():
        start = CommandStart(
            command=command,
            cwd=cwd,
            env=dict(env or {}),
            timeout=timeout,
            stdin="open" if stdin_open else "empty",
            streams=streams,
            tty=tty,
        )
        start.model_dump_json()  # a surrogate shows only here
    return start


@contextlib.contextmanager
def _checked() -> Generator[None]:
    """Turn what cannot be sent into a refusal."""
    try:
        yield
    except ValidationError as error:
        wrong = error.errors()[0]
        raise Refused("invalid_request", f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}.") from None
    except ValueError as error:
        raise Refused("invalid_request", f"It cannot be sent: {error}.") from None


class _Collected:
    """What a command printed, put together from its events."""

    def __init__(self, on_output: Callable[[bytes], object] | None = None) -> None:
        self._on_output = on_output
        self._printed = {"stdout": bytearray(), "stderr": bytearray()}
        self._dropped = 0

    def take(self, event: Event | Skipped) -> None:
        if isinstance(event, Output):
            self._printed[event.stream] += event.data
            if self._on_output is not None:
                self._on_output(event.data)
        elif isinstance(event, Gap):
            self._dropped += event.end - event.start

    def result(self, id: str, end: Exited) -> CommandResult:
        return CommandResult(
            output=bytes(self._printed["stdout"]),
            exit_code=end.code,
            signal=end.signal,
            timed_out=end.timed_out,
            killed=end.killed,
            duration=end.duration,
            dropped=self._dropped,
            id=id,
            stderr=bytes(self._printed["stderr"]),
            log=end.log,
        )


def run(
    id: str, start: CommandStart, input: bytes = b"", on_output: Callable[[bytes], object] | None = None
) -> Flow[CommandResult]:
    """Run a command to its end and keep all of its output."""
    collected = _Collected(on_output)
    end = yield from operations.run_command(id, start, collected.take, input=input, live=on_output is not None)
    assert end is not None  # only a flow with a bound in time ends without an exit
    return collected.result(id, end)


def wait(id: str, timeout: float | None) -> Flow[CommandResult | None]:
    """Wait for the exit of a command and fetch what the sandbox kept of its output; None if it did not come in time."""
    if not (yield from operations.wait_command(id, timeout)):
        return None
    collected = _Collected()
    end = yield from operations.follow_command(id, collected.take, Position())
    return collected.result(id, end)


def stream(id: str, start: CommandStart, input: bytes, detach: bool) -> Flow[object]:
    """Run a command and emit its events as they come."""
    return operations.run_command(id, start, operations.Emit, input=input, live=True, detach=detach)


def as_bytes(data: bytes | str | None) -> bytes:
    """What a command is to read, as it is sent."""
    with _checked():
        return data.encode() if isinstance(data, str) else data or b""


class Job:
    """A command that runs by itself, whoever comes and goes: `Sandbox.start` makes one, `Sandbox.job` finds it again.

    Attributes:
        id: its name, by which any process can find it.
    """

    def __init__(self, transport: Transport, id: str) -> None:
        self._transport = transport
        self.id = id
        self._sending = threading.Lock()

    def stream(self, after: int = 0, *, after_stderr: int = 0) -> Generator[Event]:
        """Its events as they come, up to its exit. To stop reading does not end it.

        Arguments:
            after: the byte of its output to begin at.
            after_stderr: the byte of its stderr to begin at, if its streams are separate.
        """
        return self._transport.iterate(_events(self.id, after, after_stderr))

    def wait(self, timeout: float | None = None) -> CommandResult | None:
        """Wait for its exit and fetch what the sandbox kept of its output; None if it runs on after `timeout` seconds.

        Raises `Refused` if there is no such command (`unknown_command`) or if it is lost (`command_lost`).
        """
        return self._transport.run(wait(self.id, timeout))

    def send(self, data: bytes | str = b"", *, close: bool = False) -> InputTaken:
        """Give it more to read, and return when the sandbox has taken all of it.

        Arguments:
            data: the bytes, or a text.
            close: whether this is the end of its input.

        Raises `Refused` (code `input_closed`) if it reads nothing, or no more. Threads take turns; two programs that
        write to one job must agree who does.
        """
        with self._sending:
            return self._transport.run(operations.send_input(self.id, as_bytes(data), close=close))

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal; `Refused` if it has none."""
        self._transport.run(_resize(self.id, rows, columns))

    def kill(self) -> CommandEnd:
        """End it and all that it started, and tell what came of that."""
        return self._transport.run(operations.end_command(self.id))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class AsyncJob:
    """`Job` for tasks."""

    def __init__(self, transport: Transport, id: str) -> None:
        self._transport = transport
        self.id = id
        self._sending = asyncio.Lock()

    def stream(self, after: int = 0, *, after_stderr: int = 0) -> AsyncGenerator[Event]:
        """Its events as they come, up to its exit; see `Job.stream`."""
        return self._transport.aiterate(_events(self.id, after, after_stderr))

    async def wait(self, timeout: float | None = None) -> CommandResult | None:
        """Wait for its exit; see `Job.wait`."""
        return await self._transport.arun(wait(self.id, timeout))

    async def send(self, data: bytes | str = b"", *, close: bool = False) -> InputTaken:
        """Give it more to read; see `Job.send`."""
        async with self._sending:
            return await self._transport.arun(operations.send_input(self.id, as_bytes(data), close=close))

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal; `Refused` if it has none."""
        await self._transport.arun(_resize(self.id, rows, columns))

    async def kill(self) -> CommandEnd:
        """End it and all that it started, and tell what came of that."""
        return await self._transport.arun(operations.end_command(self.id))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def _events(id: str, after: int, after_stderr: int) -> Flow[object]:
    return operations.follow_command(id, operations.Emit, Position(after, after_stderr), live=True)


def _resize(id: str, rows: int, columns: int) -> Flow[TerminalSize]:
    with _checked():
        size = TerminalSize(rows=rows, columns=columns)
    return operations.resize_terminal(id, size)


class Files:
    """Files of a sandbox as bytes. Relative paths start at the sandbox's working directory."""

    def __init__(self, transport: Transport, cwd: str | None) -> None:
        self._transport = transport
        self._cwd = cwd

    def read(self, path: str) -> FileContent:
        """Read a whole file: bytes that also have the file's canonical `path` and its `version`."""
        return self._transport.run(operations.read_file(path, self._cwd))

    def write(self, path: str, content: bytes, *, expected_version: str = "any") -> FileWritten:
        """Write a whole file.

        Arguments:
            expected_version: refuse (`Refused`, code `stale`) unless the file has this version; `absent`: unless there
                is none; `any`: never.
        """
        return self._transport.run(operations.write_file(path, self._cwd, content, expected_version))

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path."""
        return self.look(path).exists

    def look(self, path: str) -> FileExists:
        """What is at a path, and the path it really is."""
        return self._transport.run(operations.file_exists(path, self._cwd))

    def list(self, path: str = ".") -> DirectoryList:
        """What is in a directory, sorted by name."""
        return self._transport.run(operations.list_directory(path, self._cwd))


class AsyncFiles:
    """`Files` for tasks."""

    def __init__(self, transport: Transport, cwd: str | None) -> None:
        self._transport = transport
        self._cwd = cwd

    async def read(self, path: str) -> FileContent:
        """Read a whole file: bytes that also have the file's canonical `path` and its `version`."""
        return await self._transport.arun(operations.read_file(path, self._cwd))

    async def write(self, path: str, content: bytes, *, expected_version: str = "any") -> FileWritten:
        """Write a whole file; see `Files.write`."""
        return await self._transport.arun(operations.write_file(path, self._cwd, content, expected_version))

    async def exists(self, path: str) -> bool:
        """Whether there is anything at a path."""
        return (await self.look(path)).exists

    async def look(self, path: str) -> FileExists:
        """What is at a path, and the path it really is."""
        return await self._transport.arun(operations.file_exists(path, self._cwd))

    async def list(self, path: str = ".") -> DirectoryList:
        """What is in a directory, sorted by name."""
        return await self._transport.arun(operations.list_directory(path, self._cwd))
