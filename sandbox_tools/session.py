"""What tools act on: a sandbox, a working directory, and what was read so far."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .ledger import ReadLedger
from .operations import Flow
from .tools import DEFAULT_TIMEOUT, Context, KnownJobs, OnOutput, ToolResult, ToolSpec, dispatch, tool_set
from .tools.answers import JOB_TOOLS
from .transport import Transport


class Session:
    """One agent's view of a sandbox. It has both faces: `call_tool` for threads, `acall_tool` for tasks.

    Two sessions on one sandbox know nothing of what the other one read. A session ends nothing: the sandbox does.
    It is made by `Sandbox.new_session`.

    Arguments:
        transport: the connections to the sandbox.
        work_dir: where relative paths start and commands run; None for the sandbox's own.
        timeout: seconds that a command may run if its call does not say.
        tools: names of the tools that it has; by default `DEFAULT_TOOLS`.
        yield_after: seconds after which a command becomes a job and its call answers; by default never.
        ledger: what was read before.
        jobs: what is known of jobs.

    Raises ValueError if there is no tool of such a name, or no way to go on with a command that became a job.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        work_dir: str | None = None,
        timeout: int = DEFAULT_TIMEOUT,
        tools: Iterable[str] | None = None,
        yield_after: float | None = None,
        ledger: ReadLedger | None = None,
        jobs: KnownJobs | None = None,
    ) -> None:
        self.work_dir = work_dir
        self.timeout = check_timeout(timeout)
        self.yield_after = yield_after
        self.ledger = ledger or ReadLedger()
        self._transport = transport
        chosen = _checked(tool_set(tools), yield_after)
        self._context = Context(self.ledger, work_dir, timeout, chosen, yield_after, jobs or KnownJobs())

    @property
    def tools(self) -> Mapping[str, ToolSpec]:
        """The tools of this session, by name."""
        return self._context.tools

    def with_tools(self, names: Iterable[str] | None) -> Session:
        """This session with other tools: both know what either has read, and which jobs there are.

        Arguments:
            names: which tools, in this order; by default `DEFAULT_TOOLS`.

        Raises ValueError if there is none of such a name, or no way to go on with a command that became a job.
        """
        other = copy.copy(self)
        other._context = dataclasses.replace(self._context, tools=_checked(tool_set(names), self.yield_after))
        return other

    def tool_definitions(self) -> list[dict[str, Any]]:
        """Name, description and JSON schema of every tool."""
        return [spec.definition() for spec in self.tools.values()]

    def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, on_output: OnOutput | None = None
    ) -> ToolResult:
        """Carry out one tool call.

        What the model did wrong and what the sandbox refused is in the result. `Unreachable` is raised if the sandbox
        does not answer, `SandboxClosed` if it was closed.

        Arguments:
            on_output: called with what a command of this call prints while it does, as pieces of text without terminal
                control sequences. What it raises ends the command.
        """
        return self._transport.run(self._dispatch(name, arguments, on_output))

    async def acall_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, on_output: OnOutput | None = None
    ) -> ToolResult:
        """`call_tool` for tasks. If the task is cancelled, what the call started in the sandbox is ended."""
        return await self._transport.arun(self._dispatch(name, arguments, on_output))

    def _dispatch(self, name: str, arguments: Mapping[str, Any] | None, on_output: OnOutput | None) -> Flow[ToolResult]:
        context = dataclasses.replace(self._context, on_output=on_output)
        return dispatch(context, name, {} if arguments is None else arguments)

    def to_json(self) -> str:
        """Everything to go on from later, as text. It holds no token."""
        saved = {
            "work_dir": self.work_dir,
            "timeout": self.timeout,
            "tools": list(self.tools),
            "yield_after": self.yield_after,
            "ledger": self.ledger.to_json(),
            "jobs": self._context.jobs.to_json(),
        }
        return json.dumps(saved)

    @classmethod
    def from_json(cls, transport: Transport, text: str) -> Session:
        """The session that `to_json` wrote, on a sandbox; ValueError if the text is none.

        One that was written when there were no jobs yet has the tools that it had then.
        """
        try:
            saved = json.loads(text)
            work_dir, timeout = saved["work_dir"], saved["timeout"]
            if not isinstance(timeout, int) or not isinstance(work_dir, str | None):
                raise TypeError("its working directory or its timeout is none")
            return cls(
                transport,
                work_dir=work_dir,
                timeout=timeout,
                tools=saved.get("tools"),
                yield_after=saved.get("yield_after"),
                ledger=ReadLedger.from_json(saved["ledger"]),
                jobs=KnownJobs.from_json(saved.get("jobs", "{}")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"This is no saved session: {error}.") from error


def check_timeout(timeout: int) -> int:
    """A session's timeout, if it is one."""
    if timeout < 1:
        raise ValueError(f"timeout must be at least 1 second, not {timeout}.")
    return timeout


def _checked(tools: Mapping[str, ToolSpec], yield_after: float | None) -> Mapping[str, ToolSpec]:
    """A set of tools, if a command that became a job can be gone on with."""
    if yield_after is None:
        return tools
    if not yield_after > 0:
        raise ValueError(f"yield_after must be above 0 seconds, not {yield_after}.")
    if "bash" in tools and not tools.keys() >= {*JOB_TOOLS}:
        raise ValueError(f"yield_after needs the tools {' and '.join(JOB_TOOLS)}: pass tools=ALL_TOOLS, say.")
    return tools


class AsyncSession:
    """A `Session` whose `call_tool` is awaited.

    Attributes:
        shared: the session itself, with both faces.
    """

    def __init__(self, shared: Session) -> None:
        self.shared = shared

    @property
    def ledger(self) -> ReadLedger:
        """What was read so far."""
        return self.shared.ledger

    def tool_definitions(self) -> list[dict[str, Any]]:
        """Name, description and JSON schema of every tool."""
        return self.shared.tool_definitions()

    def with_tools(self, names: Iterable[str] | None) -> AsyncSession:
        """This session with other tools; see `Session.with_tools`."""
        return AsyncSession(self.shared.with_tools(names))

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, on_output: OnOutput | None = None
    ) -> ToolResult:
        """Carry out one tool call; see `Session.acall_tool`."""
        return await self.shared.acall_tool(name, arguments, on_output)

    def to_json(self) -> str:
        """Everything to go on from later, as text. It holds no token."""
        return self.shared.to_json()
