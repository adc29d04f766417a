"""The raw wire client: whole bytes, exit codes and versions, with nothing rendered or clipped."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from sandbox_tools_server.wire import CommandStart, DirectoryList, Event, Exited, FileExists, FileWritten, Gap, Output

from . import operations
from .errors import Refused
from .operations import FileContent, Flow
from .transport import Transport


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        output: what it printed, stdout and stderr in the order they came. Look at `dropped`: of more than about half
            a mebibyte that comes faster than it is fetched, the middle may be missing.
        exit_code: None if a signal ended it.
        signal: the signal's number, or None.
        timed_out: whether it was ended because its time was up.
        killed: whether it was ended on request.
        duration: seconds.
        dropped: bytes missing from the middle of `output`, because it printed more than the sandbox keeps.
    """

    output: bytes
    exit_code: int | None
    signal: int | None
    timed_out: bool
    killed: bool
    duration: float
    dropped: int = 0


def run(
    command: str, cwd: str | None, env: Mapping[str, str] | None, timeout: float | None, id: str | None
) -> Flow[CommandResult]:
    """Run a command to its end and keep what the sandbox kept of its output."""
    output = bytearray()
    dropped = 0

    def keep(event: Event) -> None:
        nonlocal dropped
        if isinstance(event, Output):
            output.extend(event.data)
        elif isinstance(event, Gap):
            dropped += event.end - event.start

    try:
        start = CommandStart(command=command, cwd=cwd, env=dict(env or {}), timeout=timeout)
        start.model_dump_json()  # a surrogate shows only here
    except ValidationError as error:
        wrong = error.errors()[0]
        raise Refused("invalid_request", f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}.") from None
    except ValueError as error:
        raise Refused("invalid_request", f"The command cannot be sent: {error}.") from None
    end: Exited = yield from operations.run_command(id or new_id(), start, keep)
    return CommandResult(bytes(output), end.code, end.signal, end.timed_out, end.killed, end.duration, dropped)


def new_id() -> str:
    """An id for one command."""
    return uuid.uuid4().hex


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
