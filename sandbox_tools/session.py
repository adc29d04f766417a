"""What tools act on: a sandbox, a working directory, and what was read so far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .ledger import ReadLedger
from .tools import DEFAULT_TIMEOUT, TOOLS, Context, ToolResult, ToolSpec, dispatch
from .transport import Transport


class Session:
    """One agent's view of a sandbox. It has both faces: `call_tool` for threads, `acall_tool` for tasks.

    Two sessions on one sandbox know nothing of what the other one read. A session ends nothing: the sandbox does.
    It is made by `Sandbox.new_session`.

    Arguments:
        transport: the connections to the sandbox.
        work_dir: where relative paths start and commands run; None for the sandbox's own.
        timeout: seconds that a command may run if its call does not say.
        ledger: what was read before.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        work_dir: str | None = None,
        timeout: int = DEFAULT_TIMEOUT,
        ledger: ReadLedger | None = None,
    ) -> None:
        self.work_dir = work_dir
        self.timeout = check_timeout(timeout)
        self.ledger = ledger or ReadLedger()
        self._transport = transport
        self._context = Context(self.ledger, work_dir, timeout)

    @property
    def tools(self) -> Mapping[str, ToolSpec]:
        """The tools of this session, by name."""
        return TOOLS

    def tool_definitions(self) -> list[dict[str, Any]]:
        """Name, description and JSON schema of every tool."""
        return [spec.definition() for spec in self.tools.values()]

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Carry out one tool call.

        What the model did wrong and what the sandbox refused is in the result. `Unreachable` is raised if the sandbox
        does not answer, `SandboxClosed` if it was closed.
        """
        return self._transport.run(dispatch(self.tools, self._context, name, {} if arguments is None else arguments))

    async def acall_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """`call_tool` for tasks. If the task is cancelled, what the call started in the sandbox is ended."""
        flow = dispatch(self.tools, self._context, name, {} if arguments is None else arguments)
        return await self._transport.arun(flow)

    def to_json(self) -> str:
        """Everything to go on from later, as text. It holds no token."""
        return json.dumps({"work_dir": self.work_dir, "timeout": self.timeout, "ledger": self.ledger.to_json()})

    @classmethod
    def from_json(cls, transport: Transport, text: str) -> Session:
        """The session that `to_json` wrote, on a sandbox; ValueError if the text is none."""
        try:
            saved = json.loads(text)
            work_dir, timeout = saved["work_dir"], saved["timeout"]
            if not isinstance(timeout, int) or not isinstance(work_dir, str | None):
                raise TypeError("its working directory or its timeout is none")
            return cls(transport, work_dir=work_dir, timeout=timeout, ledger=ReadLedger.from_json(saved["ledger"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"This is no saved session: {error}.") from error


def check_timeout(timeout: int) -> int:
    """A session's timeout, if it is one."""
    if timeout < 1:
        raise ValueError(f"timeout must be at least 1 second, not {timeout}.")
    return timeout


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

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Carry out one tool call; see `Session.acall_tool`."""
        return await self.shared.acall_tool(name, arguments)

    def to_json(self) -> str:
        """Everything to go on from later, as text. It holds no token."""
        return self.shared.to_json()
