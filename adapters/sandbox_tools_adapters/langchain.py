"""The tools of a sandbox for LangChain and LangGraph."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from sandbox_tools import Hands, MissingExtra, Session, ToolResult, ToolSpec, select, session_of

try:
    from langchain_core.tools import BaseTool, BaseToolkit, ToolException
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise MissingExtra("langchain") from error


def langchain_tools(hands: Hands, names: Iterable[str] | None = None) -> list[BaseTool]:
    """The tools of a sandbox or a session, for `create_agent`, `bind_tools` and everything else that takes tools.

    Arguments:
        hands: what the tools act on. It must stay open as long as the agent runs.
        names: which tools, in this order; by default all of them.
    """
    session = session_of(hands)
    return [SandboxTool(session, spec) for spec in select(session.tools, names)]


class SandboxToolkit(BaseToolkit):
    """The tools of a sandbox or a session, as a toolkit.

    Arguments:
        hands: what the tools act on. It must stay open as long as the agent runs.
        names: which tools, in this order; by default all of them.
    """

    def __init__(self, hands: Hands, names: Iterable[str] | None = None) -> None:
        super().__init__()
        self._tools = langchain_tools(hands, names)

    @classmethod
    def from_sandbox(cls, hands: Hands, names: Iterable[str] | None = None) -> SandboxToolkit:
        """The same as calling the class, under the name that LangChain's toolkits have for it."""
        return cls(hands, names)

    def get_tools(self) -> list[BaseTool]:
        """The tools."""
        return list(self._tools)


class SandboxTool(BaseTool):
    """One tool of a session.

    Its message holds the text of the result, and all of it as the artifact. The message's status is "error" only if
    nothing was done: a command that failed was run, and its exit code is in the text and in the artifact.
    """

    def __init__(self, session: Session, spec: ToolSpec) -> None:
        super().__init__(
            name=spec.name,
            description=spec.description,
            args_schema=copy.deepcopy(dict(spec.parameters)),
            response_format="content_and_artifact",
            handle_tool_error=True,
        )
        self._session = session
        self._tool = spec.name

    def _run(self, /, **arguments: Any) -> tuple[str, dict[str, Any]]:
        return _answer(self._session.call_tool(self._tool, arguments))

    async def _arun(self, /, **arguments: Any) -> tuple[str, dict[str, Any]]:
        return _answer(await self._session.acall_tool(self._tool, arguments))


def _answer(result: ToolResult) -> tuple[str, dict[str, Any]]:
    if result.code is not None:
        raise ToolException(str(result))
    return str(result), result.to_artifact()
