"""Every request of the protocol, once, as a flow.

A flow is a generator that yields what it needs done and is sent what came of it, or thrown what went wrong. It knows
neither sockets nor event loops: `transport` drives it, for threads and for tasks alike. Whether something may be sent
twice is decided here and nowhere else.
"""

from __future__ import annotations

import contextlib
import math
import time
import urllib.parse
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from sandbox_tools_server.wire import (
    MAX_WAIT,
    PATH_HEADER,
    PROTOCOL,
    VERSION_HEADER,
    CommandList,
    CommandReply,
    CommandsEnd,
    CommandStart,
    DirectoryList,
    Event,
    Exited,
    FileEdit,
    FileEdited,
    FileExists,
    FileWritten,
    Health,
    Message,
    TextWindow,
)

from .errors import ProtocolError, Refused, SandboxError, Unreachable
from .streaming import Position

PATIENCE = 60.0
"""How long to go on trying to reach a sandbox, in seconds."""

MARGIN = 30.0
"""How much longer than the server may take the client waits for an answer, in seconds."""

FAREWELL = 10.0
"""How long an interrupted command's end may take, in seconds."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        safe: whether it may be sent again when it may have been carried out already.
        timeout: seconds without a byte after which the answer is given up.
    """

    method: str
    path: str
    params: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])
    content: bytes | None = None
    content_type: str = "application/json"
    safe: bool = True
    timeout: float = MARGIN


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Let some seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Let another thread or task settle something."""

    future: Future[None]


@dataclass(frozen=True, slots=True)
class LastBoot:
    """Tell which server process answered last, or None."""


Step = Request | Pause | Wait | LastBoot
Result = TypeVar("Result")
Flow = Generator[Step, Any, Result]


def call(request: Request, patience: float = PATIENCE) -> Flow[Reply]:
    """Send a request until it is answered, as often as it may be sent; `Refused` if the answer is an error.

    Arguments:
        patience: for how long to go on, in seconds.
    """
    pause = 0.1
    paused = 0.0
    began = time.monotonic()
    doubtful = False
    while True:
        try:
            reply: Reply = yield request
        except Unreachable as error:
            doubtful = doubtful or error.sent
            spent = max(paused, time.monotonic() - began)
            if error.final or (error.sent and not request.safe) or spent >= patience:
                raise
            yield Pause(pause)
            paused += pause
            pause = min(pause * 2, 5.0)
        else:
            if reply.status >= 300:
                raise _refusal(reply, doubtful)
            return reply


def _refusal(reply: Reply, doubtful: bool) -> SandboxError:
    try:
        problem = _Problem.model_validate_json(reply.content)
    except ValidationError:
        return ProtocolError(f"The sandbox answered with status {reply.status} and no reason.")
    return Refused(
        problem.code,
        problem.detail,
        problem.hint,
        retryable=problem.retryable,
        data=problem.data,
        doubtful=doubtful,
    )


class _Problem(Message):
    """An error with any code: a newer server may have codes that this client does not know."""

    code: str
    detail: str
    hint: str = ""
    retryable: bool = False
    data: dict[str, Any] = Field(default_factory=dict[str, Any])


def _ask(model: type[Model], request: Request, patience: float = PATIENCE) -> Flow[Model]:
    reply = yield from call(request, patience)
    try:
        return model.model_validate_json(reply.content)
    except ValidationError as error:
        raise ProtocolError(f"{request.path} answered with something else than {model.__name__}: {error}") from error


def health(patience: float = PATIENCE) -> Flow[Health]:
    """Ask whether the server is up; `ProtocolError` if it is newer than this client."""
    answer = yield from _ask(Health, Request("GET", "/v1/health"), patience)
    if answer.protocol > PROTOCOL:
        raise ProtocolError(
            f"The sandbox speaks protocol {answer.protocol}, this client {PROTOCOL}: upgrade sandbox-tools."
        )
    return answer


# Commands


def run_command(id: str, start: CommandStart, on_event: Callable[[Event], object]) -> Flow[Exited]:
    """Run a command and follow it to its exit.

    However often the connection breaks, the command runs once and every byte arrives once. If the flow is interrupted
    (a cancelled task, Ctrl-C), the command is ended.

    Arguments:
        id: chosen by the caller, for this command alone.
        start: what to run.
        on_event: called with each event as it arrives: the exit too, and the close if it is known by then.
    """
    position = Position()
    path = f"/v1/commands/{urllib.parse.quote(id, safe='')}"
    deadline = time.monotonic() + start.timeout + PATIENCE if start.timeout else math.inf
    begun = False
    boot_id = yield from _last_boot()
    try:
        while True:
            content = start.model_copy(update={"boot_id": boot_id}).model_dump_json().encode()
            place = {"after": position.offset, "wait": MAX_WAIT}
            request = Request("PUT", path, place, content, timeout=MAX_WAIT + MARGIN)
            try:
                reply = yield from _ask(CommandReply, request)
            except Refused as refusal:
                if refusal.code != "command_lost" or begun or refusal.doubtful:
                    raise
                boot_id = str(refusal.data["boot_id"])  # restarted before this command was ever sent
                continue
            begun = True
            before = position.offset
            end: Exited | None = None
            for event in position.take(reply.events):
                on_event(event)
                end = event if isinstance(event, Exited) else end
            if end is not None:
                return end
            if time.monotonic() > deadline:
                raise Unreachable("The sandbox did not end the command when its time was up.", sent=True, final=True)
            if position.offset == before:
                yield Pause(0.05)  # a server that answers at once with nothing must not be asked without a pause
    except (GeneratorExit, Exception):
        raise
    except BaseException:
        with contextlib.suppress(Unreachable):  # what interrupted us goes first
            yield Request("DELETE", path, timeout=FAREWELL)
        raise


def _last_boot() -> Flow[str]:
    boot_id: str | None = yield LastBoot()
    if boot_id is None:
        boot_id = (yield from health()).boot_id
    return boot_id


def end_commands() -> Flow[CommandsEnd]:
    """End every command and all that they left running."""
    return (yield from _ask(CommandsEnd, Request("DELETE", "/v1/commands")))


def list_commands() -> Flow[CommandList]:
    """List the commands that run, and the ended ones that are kept."""
    return (yield from _ask(CommandList, Request("GET", "/v1/commands")))


# Files


def _place(path: str, cwd: str | None) -> dict[str, str | int | float]:
    return {"path": path} if cwd is None else {"path": path, "cwd": cwd}


def read_text(path: str, cwd: str | None, offset: int | None, limit: int) -> Flow[TextWindow]:
    """Read some lines of a text file; `offset` counts from 1."""
    window: dict[str, str | int | float] = {**_place(path, cwd), "offset": offset or 1, "limit": limit}
    return (yield from _ask(TextWindow, Request("GET", "/v1/files/text", window)))


class FileContent(bytes):
    """The bytes of a file, with its canonical `path` and its `version`."""

    path: str
    version: str


def read_file(path: str, cwd: str | None) -> Flow[FileContent]:
    """Read a whole file."""
    reply = yield from call(Request("GET", "/v1/files/content", _place(path, cwd)))
    content = FileContent(reply.content)
    try:
        content.path = urllib.parse.unquote(reply.headers[PATH_HEADER])
        content.version = reply.headers[VERSION_HEADER]
    except KeyError as error:
        raise ProtocolError(f"The sandbox sent a file without the header {error}.") from None
    return content


def write_file(
    path: str, cwd: str | None, content: bytes, expected_version: str | None, expected_path: str | None = None
) -> Flow[FileWritten]:
    """Write a whole file.

    Arguments:
        expected_version: what is there now: a version, `absent`, or `any`. None: nothing, and the refusal of a file
            that is there (`precondition_required`) tells its canonical path and version.
        expected_path: the canonical path that the version is of; the path may mean another file by now.
    """
    params = _place(path, cwd)
    if expected_path is not None:
        params["expected_path"] = expected_path
    if expected_version is not None:
        params["expected_version"] = expected_version
    request = Request(
        "PUT", "/v1/files/content", params, content, "application/octet-stream", expected_version == "any"
    )
    return (yield from _ask(FileWritten, request))


def edit_file(edit: FileEdit) -> Flow[FileEdited]:
    """Change some text of a file."""
    request = Request("POST", "/v1/files/edit", content=edit.model_dump_json().encode(), safe=False)
    return (yield from _ask(FileEdited, request))


def file_exists(path: str, cwd: str | None) -> Flow[FileExists]:
    """Ask what is at a path."""
    return (yield from _ask(FileExists, Request("GET", "/v1/files/exists", _place(path, cwd))))


def list_directory(path: str, cwd: str | None) -> Flow[DirectoryList]:
    """List a directory, sorted by name."""
    return (yield from _ask(DirectoryList, Request("GET", "/v1/files/list", _place(path, cwd))))
