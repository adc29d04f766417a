"""What crosses the wire: every request, reply, event and error code of the protocol.

Client and server both import this module, and it needs pydantic alone. Fields that a reader does not know are
ignored, so that a newer peer can add some; `PROTOCOL` changes when an old peer would misunderstand.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, EncodedBytes, EncoderProtocol, Field
from pydantic_core import PydanticCustomError

PROTOCOL = 1
"""The protocol's version. A client that meets a higher one says so and stops."""

TOKEN_HEADER = "x-sandbox-authorization"
"""Carries `Bearer <token>`. It wins over `Authorization`, which a proxy may take for itself."""

BOOT_HEADER = "x-sandbox-boot"
"""On every answer of ours: the server process that gave it. An answer without it came from something in between."""

PATH_HEADER = "x-sandbox-path"
"""On raw file content: the canonical path, percent-encoded."""

VERSION_HEADER = "x-sandbox-version"
"""On raw file content: the version of the whole file."""

MAX_WAIT = 20.0
"""The longest a long-poll waits before it answers, in seconds."""

MAX_REPLY = 1024 * 1024
"""The most output that one answer carries, in bytes."""

ErrorCode = Literal[
    "ambiguous_match",  # the text to edit stands in more than one place
    "binary_file",  # the file is not text
    "body_too_large",  # the request body is over the server's limit
    "command_conflict",  # another command has that id already
    "command_ended",  # the id was ended before its command began, or its command is over and forgotten
    "command_lost",  # the command belongs to a server that is gone
    "encoding",  # the text cannot be written in the file's encoding
    "file_error",  # the operating system refused, for another reason than those below
    "file_not_found",
    "identical",  # an edit that changes nothing
    "input_closed",  # the command takes no input, or no more of it
    "internal",  # a fault of the server; its log has the traceback
    "invalid_path",  # no path at all: a NUL, a name too long, a loop of links
    "invalid_request",  # a body or a parameter that does not fit
    "is_a_directory",
    "method_not_allowed",
    "no_match",  # the text to edit is not in the file
    "no_space",  # the disk, a quota or a size limit is full
    "not_a_directory",
    "not_a_regular_file",  # a device, a FIFO or a socket
    "offset_past_end",
    "permission_denied",
    "precondition_required",  # the file exists and no version of it was named
    "range_not_satisfiable",
    "read_only",  # the file system is
    "route_not_found",
    "shutting_down",
    "stale",  # the file is not the version that was named
    "too_many_commands",
    "unauthorized",
    "unknown_command",
    "working_directory_missing",
]


class Message(BaseModel):
    """What every model of the protocol shares: unknown fields are ignored, values do not change."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Problem(Message):
    """An error as it crosses the wire, in the shape of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="What went wrong, in one sentence for a reader.")
    code: ErrorCode = Field(description="What went wrong, for a program.")
    hint: str = Field(default="", description="What to do next, in one sentence; empty where there is nothing to add.")
    retryable: bool = Field(default=False, description="Whether the same request may succeed later, unchanged.")
    data: dict[str, Any] = Field(
        default_factory=dict, description="What a program may need, such as the canonical `path` and its `version`."
    )
    error: str = Field(default="", description="`detail` and `hint` again, for clients of the /api routes.")


class Health(Message):
    """That the server is up, and which one it is."""

    status: Literal["ok"] = "ok"
    protocol: int = PROTOCOL
    boot_id: str


# Commands ------------------------------------------------------------------------------------------------------------


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def _environment_name(value: str) -> str:
    if not re.fullmatch(r"[^=\0]+", value):
        raise ValueError("must be a name without '=' and NUL")
    return value


CommandId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="Chosen by the client; a UUID will do.")]
Argument = Annotated[str, AfterValidator(_without_nul)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
Stream = Literal["stdout", "stderr"]


class _Base64(EncoderProtocol):
    """Base64 in which no character is overlooked: pydantic's own would drop what does not belong."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        try:
            return base64.b64decode(data, validate=True)
        except ValueError as error:
            raise PydanticCustomError("base64_decode", "must be base64: {error}", {"error": str(error)}) from None

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> Literal["base64"]:
        return "base64"


StrictBase64Bytes = Annotated[bytes, EncodedBytes(encoder=_Base64)]


class TerminalSize(Message):
    """How large a terminal is, in characters."""

    rows: int = Field(default=24, ge=1, le=65_535)
    columns: int = Field(default=80, ge=1, le=65_535)


class CommandStart(Message):
    """A command to run with `bash -c`. The same id with the same body attaches to the command that runs already."""

    command: Argument = Field(min_length=1)
    cwd: Argument | None = Field(default=None, description="Where to run it; the server's working directory if absent.")
    env: dict[EnvironmentName, Argument] = Field(default_factory=dict, description="Added to the environment.")
    timeout: float | None = Field(
        default=None, gt=0, le=31_536_000, description="Seconds until it is ended; none if absent."
    )
    stdin: Literal["empty", "open"] = Field(
        default="empty", description="`open`: it reads what is sent to its `input` until that is closed."
    )
    streams: Literal["merged", "separate"] = Field(
        default="merged",
        description="`merged`: all that it prints is `stdout`, in the order it came. `separate`: `stderr` has offsets "
        "of its own, and there is no order between the two.",
    )
    tty: TerminalSize | None = Field(
        default=None, description="Run it on a terminal of this size: its streams are merged, and its stdin is open."
    )
    boot_id: str | None = Field(
        default=None, description="The server that must run it: another one answers `command_lost` and runs nothing."
    )


class Started(Message):
    kind: Literal["started"] = "started"
    at: float = Field(description="Seconds since the epoch.")


class Output(Message):
    """Bytes of the command's output, base64 in JSON."""

    kind: Literal["output"] = "output"
    stream: Stream = "stdout"
    offset: int = Field(description="Where `data` begins in all that was printed to its stream, in bytes.")
    data: Base64Bytes


class Gap(Message):
    """Output that was dropped because the command printed more than is kept."""

    kind: Literal["gap"] = "gap"
    stream: Stream = "stdout"
    start: int
    end: int = Field(description="The offset at which the output goes on.")


class Exited(Message):
    """The shell is gone and all that it printed came before this event."""

    kind: Literal["exited"] = "exited"
    code: int | None = Field(description="The exit code, or null if a signal ended it.")
    signal: int | None = None
    timed_out: bool = False
    killed: bool = Field(default=False, description="Whether it was ended on request or by the server's stop.")
    duration: float = Field(description="Seconds from start to end.")
    left_running: bool = Field(default=False, description="Whether something that it started was running by then.")
    unverified: bool = Field(default=False, description="Whether something it started may have outlived its end.")
    log: str | None = Field(
        default=None, description="The file that has its stdout from the start; null if it was short, and in no file."
    )
    dropped: int = Field(default=0, description="How many bytes of its output are kept nowhere, in no file either.")
    more_logs: str | None = Field(
        default=None, description="A pattern of the files that have the rest; null if `log` has all of it."
    )


class Closed(Message):
    """Nothing holds the command's output open any more: no further byte will come."""

    kind: Literal["closed"] = "closed"
    size: int = Field(description="How many bytes were printed in all, to both streams.")


class Ping(Message):
    """Nothing happened for a while; the stream lives."""

    kind: Literal["ping"] = "ping"


Event = Annotated[Started | Output | Gap | Exited | Closed | Ping, Field(discriminator="kind")]


class CommandReply(Message):
    """What a command did since the offset that was asked for."""

    boot_id: str
    id: str
    events: list[Event]
    sizes: dict[Stream, int] = Field(description="How many bytes were printed to each stream by now.")


class CommandStatus(Message):
    id: str
    command: str = Field(description="At most its first 1,000 characters.")
    started_at: float
    exit: Exited | None = None
    closed: bool = Field(description="Whether everything that it started has let go of its output.")
    left_running: bool = Field(default=False, description="Whether it has exited and something that it started runs.")
    output_bytes: int
    takes_input: bool = Field(default=False, description="Whether its stdin is open.")
    tty: bool = False
    log: str | None = Field(default=None, description="The file that has its output from the start, if there is one.")


class CommandList(Message):
    boot_id: str
    commands: list[CommandStatus]


class CommandInput(Message):
    """More for a command to read. Bytes are taken once, however often they are sent."""

    offset: int = Field(ge=0, description="How many bytes of input come before `data`.")
    data: StrictBase64Bytes = b""
    close: bool = Field(default=False, description="Whether this is the end of its input.")


class InputTaken(Message):
    """How far a command's input has come. What was not taken for want of room is to be sent again."""

    boot_id: str
    id: str
    size: int = Field(description="How many bytes of input were taken in all.")
    closed: bool = Field(description="Whether no more is taken.")


class CommandEnd(Message):
    boot_id: str
    id: str
    result: Literal["killed", "already_exited", "unknown"]
    unverified: bool = Field(default=False, description="Whether something it started may have outlived its end.")


class CommandsEnd(Message):
    boot_id: str
    ended: list[str] = Field(description="Ids of the commands that ran, or had left something running.")
    unverified: bool = False


# Files ---------------------------------------------------------------------------------------------------------------

FileKind = Literal["file", "directory", "other"]
EditMode = Literal["replace", "append_after", "prepend_before"]
LineEnds = Literal["none", "lf", "crlf", "mixed"]


class TextWindow(Message):
    """Some lines of a text file, and what is to be known of the whole of it."""

    path: str = Field(description="The canonical path: absolute, with no link in it.")
    version: str
    size: int = Field(description="Bytes in the file.")
    first: int = Field(description="The number of the first line below, from 1.")
    lines: list[str] = Field(description="Without their line ends; a long one is cut and says so.")
    cut: list[int] = Field(default_factory=list[int], description="Numbers of the lines that were cut.")
    total_lines: int
    next_offset: int | None = Field(default=None, description="The first line that did not fit, if there is one.")
    line_ends: LineEnds
    bom: bool = Field(description="Whether the file begins with a UTF-8 byte order mark.")
    utf8: bool = Field(description="False if bytes of the file are not UTF-8; they are shown as U+FFFD.")
    final_newline: bool


class FileWritten(Message):
    path: str
    version: str
    created: bool
    size: int
    lines: int


class FileEdit(Message):
    """One change of a text file."""

    path: Argument
    cwd: Argument | None = None
    old_str: str
    new_str: str
    replace_all: bool = False
    mode: EditMode = "replace"
    expected_version: str | None = Field(default=None, description="The version to change, or `any`.")
    expected_path: str | None = Field(default=None, description="The canonical path that the version is of.")
    if_stale: Literal["refuse", "exact"] = Field(
        default="refuse", description="`exact`: if the file is another version by now, apply an exact, unique match."
    )


class FileEdited(Message):
    path: str
    version: str
    replacements: int
    first_line: int = Field(description="The first line that changed, from 1.")
    last_line: int = Field(description="The last changed line, as it is numbered now.")
    total_lines: int
    diff: list[str] = Field(description="The change, numbered; at most 60 lines.")
    was_stale: bool = Field(default=False, description="Whether the file had changed since the expected version.")


class FileExists(Message):
    path: str
    exists: bool
    kind: FileKind | None = None


class DirectoryEntry(Message):
    name: str
    kind: FileKind
    size: int
    mtime: float = Field(description="Seconds since the epoch.")


class DirectoryList(Message):
    path: str
    entries: list[DirectoryEntry]
    total: int = Field(description="How many there are; more than `entries` if the list was cut.")
