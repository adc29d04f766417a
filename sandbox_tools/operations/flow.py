"""What a flow may ask of whoever drives it, and how a request is sent until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from sandbox_tools.errors import ProtocolError, Refused, SandboxError, Unreachable
from sandbox_tools_server.wire import PROTOCOL, Health, Message

PATIENCE = 60.0
"""How long to go on trying to reach a sandbox unless its user says otherwise, in seconds."""

MARGIN = 30.0
"""How much longer than the server may take the client waits for an answer, in seconds."""

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
class Recall:
    """Tell what is known of the sandbox: its `Knowledge`."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the driver of a flow knows of the sandbox.

    Attributes:
        boot_id: the server process that answered last, or None.
        patience: how long to go on trying to reach it, in seconds.
    """

    boot_id: str | None
    patience: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Give an event to whoever iterates over the flow, and go on when they want the next one."""

    event: Any


class Left(BaseException):
    """Thrown into a flow that nobody iterates over any more: it may end what it started, and emits nothing."""


Step = Request | Pause | Wait | Recall | Emit
Result = TypeVar("Result")
Flow = Generator[Step, Any, Result]


def call(
    request: Request, patience: float | None = None, less: Callable[[Unreachable], Request] | None = None
) -> Flow[Reply]:
    """Send a request until it is answered, as often as it may be sent; `Refused` if the answer is an error.

    Arguments:
        patience: for how long to go on, in seconds; by default the sandbox's.
        less: given what went wrong, makes the next request, which may ask for less. If it does, and an answer had
            begun, it is sent at once.
    """
    pause = 0.1
    paused = 0.0
    failing_since: float | None = None
    doubtful = False
    while True:
        try:
            reply: Reply = yield request
        except Unreachable as error:
            failure = error
        else:
            if reply.status >= 300:
                raise _refusal(reply, doubtful)
            return reply
        doubtful = doubtful or failure.sent
        if patience is None:
            knowledge: Knowledge = yield Recall()
            patience = knowledge.patience
        now = time.monotonic()
        failing_since = now if failing_since is None else failing_since
        spent = max(paused, now - failing_since)
        if failure.final or (failure.sent and not request.safe) or spent >= patience:
            failure.sent = doubtful
            raise failure
        following = less(failure) if less else request
        if following == request or not failure.begun:
            yield Pause(pause)
            paused += pause
            pause = min(pause * 2, 5.0)
        request = following


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


def ask(
    model: type[Model],
    request: Request,
    patience: float | None = None,
    less: Callable[[Unreachable], Request] | None = None,
) -> Flow[Model]:
    """Send a request as `call` does, and read the model that it is answered with."""
    reply = yield from call(request, patience, less)
    try:
        return model.model_validate_json(reply.content)
    except ValidationError as error:
        raise ProtocolError(f"{request.path} answered with something else than {model.__name__}: {error}") from error


def health(patience: float | None = None) -> Flow[Health]:
    """Ask whether the server is up; `ProtocolError` if it is newer than this client."""
    answer = yield from ask(Health, Request("GET", "/v1/health"), patience)
    if answer.protocol > PROTOCOL:
        raise ProtocolError(
            f"The sandbox speaks protocol {answer.protocol}, this client {PROTOCOL}: upgrade sandbox-tools."
        )
    return answer
