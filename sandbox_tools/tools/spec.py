"""What a tool is: data that a framework shows to a model, and the flow that carries a call out."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sandbox_tools.ledger import ReadLedger
from sandbox_tools.operations import Flow

from .data import Data
from .known_jobs import KnownJobs

DEFAULT_TIMEOUT = 240
"""Seconds that a command may run unless the call says otherwise."""

MAX_TIMEOUT = 1200
"""Seconds that a command may run at the most."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a tool call. `str()` of it is what a model reads.

    Attributes:
        success: whether the tool did what it was asked to. A command that failed is no success, but it ran.
        output: what the command printed, the file's lines, what was changed.
        error: what went wrong and what to do next; empty on success.
        code: what went wrong, for a program: a code of the protocol, `unknown_tool`, `invalid_arguments`, `not_read`
            or `outcome_unknown`; None if the tool did its work, whatever came of it.
        data: the facts for a program, or None if the tool did nothing.
    """

    success: bool
    output: str = ""
    error: str = ""
    code: str | None = None
    data: Data | None = None

    def __str__(self) -> str:
        if self.success:
            return self.output or "(no output)"
        separator = "\n" if self.output and not self.output.endswith("\n") else ""
        return f"{self.output}{separator}ERROR: {self.error}"

    def to_dict(self) -> dict[str, Any]:
        """`success`, `output` and `error`, as JSON."""
        return {"success": self.success, "output": self.output, "error": self.error}

    def to_artifact(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return dataclasses.asdict(self)


class Queue:
    """One at a time, in the order they came: a lock that threads and tasks can share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: deque[Future[None]] = deque()

    def enter(self) -> Future[None]:
        """A future that is done when it is the caller's turn; `leave` must follow in any case."""
        turn: Future[None] = Future()
        with self._lock:
            self._turns.append(turn)
            first = self._turns[0]
        if first is turn:
            self._admit(turn)
        return turn

    def leave(self, turn: Future[None]) -> None:
        """Give the turn on, or give up waiting for it."""
        with self._lock:
            had_it = self._turns[0] is turn
            self._turns.remove(turn)
            next_turn = self._turns[0] if had_it and self._turns else None
        if next_turn is not None:
            self._admit(next_turn)

    @staticmethod
    def _admit(turn: Future[None]) -> None:
        if turn.set_running_or_notify_cancel():  # one that was cancelled leaves by itself
            turn.set_result(None)


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler acts on: the session's state, its tools, and who watches.

    Attributes:
        ledger: which files were read.
        cwd: where relative paths start and commands run; None for the sandbox's own.
        timeout: seconds that a command may run if its call does not say.
        tools: what the model can call, by name.
        yield_after: seconds after which a command becomes a job, and a call that waits for one answers.
        jobs: what this session knows of jobs.
        mutations: the calls that change files.
        on_output: called with what a command prints, while it does.
    """

    ledger: ReadLedger
    cwd: str | None
    timeout: int
    tools: Mapping[str, ToolSpec]
    yield_after: float | None = None
    jobs: KnownJobs = field(default_factory=KnownJobs)
    mutations: Queue = field(default_factory=Queue)
    on_output: OnOutput | None = None

    def offers(self, *names: str) -> bool:
        """Whether the model can call all of these tools."""
        return self.tools.keys() >= {*names}


OnOutput = Callable[[str], object]
"""Takes a piece of text that a command printed."""

Handler = Callable[[Context, dict[str, Any]], Flow[ToolResult]]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool.

    Attributes:
        name: an identifier.
        description: written for a model; at most 1,024 characters.
        parameters: the JSON schema of the arguments, which is also what validates them.
        handler: carries out a call whose arguments are valid.
        mutates: whether it changes files, or what a job reads; such calls of one session wait for one another.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    handler: Handler
    mutates: bool = False

    def definition(self) -> dict[str, Any]:
        """Name, description and parameters, as JSON that is the caller's own."""
        return {"name": self.name, "description": self.description, "parameters": copy.deepcopy(dict(self.parameters))}


def parameters(required: tuple[str, ...], **properties: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema of arguments; the required ones come first."""
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}
