"""The tools of a sandbox for LangChain and LangGraph."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from typing import Any

from sandbox_tools import Hands, MissingExtra, Session, ToolResult, ToolSpec, session_of

try:
    from langchain_core.callbacks import (
        AsyncCallbackHandler,
        BaseCallbackHandler,
        BaseCallbackManager,
        adispatch_custom_event,
        dispatch_custom_event,
    )
    from langchain_core.runnables.config import ensure_config
    from langchain_core.tools import BaseTool, BaseToolkit, ToolException
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise MissingExtra("langchain") from error


OUTPUT_EVENT = "sandbox_output"
"""The custom event that tells what a command prints while it runs: `{"tool": name, "text": piece}`."""

NO_LISTENERS = (BaseCallbackHandler.on_custom_event, AsyncCallbackHandler.on_custom_event)


def langchain_tools(hands: Hands, names: Iterable[str] | None = None) -> list[BaseTool]:
    """The tools of a sandbox or a session, for `create_agent`, `bind_tools` and everything else that takes tools.

    Arguments:
        hands: what the tools act on. It must stay open as long as the agent runs.
        names: which tools, in this order; by default those of the session.
    """
    session = session_of(hands, names)
    return [SandboxTool(session, spec) for spec in session.tools.values()]


class SandboxToolkit(BaseToolkit):
    """The tools of a sandbox or a session, as a toolkit.

    Arguments:
        hands: what the tools act on. It must stay open as long as the agent runs.
        names: which tools, in this order; by default those of the session.
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
    nothing was done: a command that failed was run, and its exit code is in the text and in the artifact. What a
    command prints is told while it runs, by custom events of the name `OUTPUT_EVENT`, if somebody listens.
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
        on_output = self._dispatch if _is_listened_to() else None
        return _answer(self._session.call_tool(self._tool, arguments, on_output))

    async def _arun(self, /, **arguments: Any) -> tuple[str, dict[str, Any]]:
        if not _is_listened_to():
            return _answer(await self._session.acall_tool(self._tool, arguments))
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        dispatching = asyncio.create_task(self._adispatch(pieces))
        try:
            result = await self._session.acall_tool(self._tool, arguments, pieces.put_nowait)
            pieces.put_nowait(None)
            await dispatching
        finally:
            dispatching.cancel()
        return _answer(result)

    def _dispatch(self, text: str) -> None:
        dispatch_custom_event(OUTPUT_EVENT, {"tool": self.name, "text": text})

    async def _adispatch(self, pieces: asyncio.Queue[str | None]) -> None:
        while (text := await pieces.get()) is not None:
            await adispatch_custom_event(OUTPUT_EVENT, {"tool": self.name, "text": text})


def _is_listened_to() -> bool:
    """Whether this is a run of which somebody wants to know the custom events: they cost a request for each piece."""
    manager = ensure_config().get("callbacks")
    if not isinstance(manager, BaseCallbackManager) or manager.parent_run_id is None:
        return False
    return any(
        not handler.ignore_custom_event and type(handler).on_custom_event not in NO_LISTENERS
        for handler in manager.handlers
    )


def _answer(result: ToolResult) -> tuple[str, dict[str, Any]]:
    if result.code is not None:
        raise ToolException(str(result))
    return str(result), result.to_artifact()
