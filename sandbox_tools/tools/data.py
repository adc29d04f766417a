"""What came of a tool call, for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sandbox_tools_server.wire import Exited


@dataclass(frozen=True, slots=True)
class CommandData:
    """How a command ended, for programs. See `CommandResult`."""

    id: str
    exit_code: int | None
    signal: int | None
    timed_out: bool
    duration: float
    still_running: bool
    log: str | None = None


@dataclass(frozen=True, slots=True)
class JobData:
    """How a job stands.

    Attributes:
        id: what the tools for jobs know it by.
        running: whether its shell runs.
        offset: how far its output was shown, in bytes, or how much it has printed where none was shown.
        exit_code: None while it runs and if a signal ended it.
        signal: the signal's number, or None.
        timed_out: whether it was ended because its time was up.
        killed: whether it was ended on request.
        duration: seconds, once it has ended.
        still_running: whether something that it started was running when it ended.
        log: the file that has its output from the start, or None.
    """

    id: str
    running: bool
    offset: int
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    killed: bool = False
    duration: float | None = None
    still_running: bool = False
    log: str | None = None

    @classmethod
    def of(cls, id: str, offset: int, end: Exited | None, log: str | None = None) -> JobData:
        """What is known of a job: its end, if it has ended."""
        if end is None:
            return cls(id, running=True, offset=offset, log=log)
        return cls(
            id,
            running=False,
            offset=offset,
            exit_code=end.code,
            signal=end.signal,
            timed_out=end.timed_out,
            killed=end.killed,
            duration=end.duration,
            still_running=end.left_running,
            log=end.log or log,
        )


@dataclass(frozen=True, slots=True)
class JobsData:
    """The jobs there are, oldest first."""

    jobs: tuple[JobData, ...]


@dataclass(frozen=True, slots=True)
class InputData:
    """What a job was sent: how many bytes, and whether its input was closed."""

    id: str
    size: int
    closed: bool


@dataclass(frozen=True, slots=True)
class KillData:
    """What came of ending a job, and whether something that it started may still be running."""

    id: str
    result: Literal["killed", "already_exited", "unknown"]
    unverified: bool


@dataclass(frozen=True, slots=True)
class ReadData:
    """What was read: the canonical path, its version, and the lines from `first` to `last` of `total`."""

    path: str
    version: str
    first: int
    last: int
    total: int


@dataclass(frozen=True, slots=True)
class WriteData:
    """What was written: the canonical path, its new version, and whether it was created."""

    path: str
    version: str
    created: bool
    lines: int
    size: int


@dataclass(frozen=True, slots=True)
class EditData:
    """What was changed: the canonical path, its new version, and the lines that changed, as they are now."""

    path: str
    version: str
    replacements: int
    first_line: int
    last_line: int


Data = CommandData | JobData | JobsData | InputData | KillData | ReadData | WriteData | EditData
