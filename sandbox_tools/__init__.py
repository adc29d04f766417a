"""Tools that let an agent work in a sandbox, in any framework. Each name is imported when it is first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_tools_server.wire import (
        Closed,
        CommandEnd,
        CommandStatus,
        Event,
        Exited,
        Gap,
        Output,
        Started,
        TerminalSize,
    )

    from .client import AsyncJob, CommandResult, Job
    from .errors import (
        MissingExtra,
        NotOwned,
        ProtocolError,
        Refused,
        SandboxClosed,
        SandboxError,
        StartError,
        Unreachable,
    )
    from .ledger import ReadLedger
    from .operations import FileContent
    from .sandbox import AsyncSandbox, Hands, Sandbox, session_of
    from .session import AsyncSession, Session
    from .tools import (
        ALL_TOOLS,
        DEFAULT_READ_LIMIT,
        DEFAULT_TIMEOUT,
        DEFAULT_TOOLS,
        LINE_LIMIT,
        MAX_TIMEOUT,
        OUTPUT_LIMIT,
        TOOLS,
        ToolResult,
        ToolSpec,
        tool_set,
    )

__all__ = [
    "ALL_TOOLS",
    "DEFAULT_READ_LIMIT",
    "DEFAULT_TIMEOUT",
    "DEFAULT_TOOLS",
    "LINE_LIMIT",
    "MAX_TIMEOUT",
    "OUTPUT_LIMIT",
    "TOOLS",
    "AsyncJob",
    "AsyncSandbox",
    "AsyncSession",
    "Closed",
    "CommandEnd",
    "CommandResult",
    "CommandStatus",
    "Event",
    "Exited",
    "FileContent",
    "Gap",
    "Hands",
    "Job",
    "MissingExtra",
    "NotOwned",
    "Output",
    "ProtocolError",
    "ReadLedger",
    "Refused",
    "Sandbox",
    "SandboxClosed",
    "SandboxError",
    "Session",
    "StartError",
    "Started",
    "TerminalSize",
    "ToolResult",
    "ToolSpec",
    "Unreachable",
    "session_of",
    "tool_set",
]

_MODULES = {
    "ALL_TOOLS": ".tools",
    "DEFAULT_READ_LIMIT": ".tools",
    "DEFAULT_TIMEOUT": ".tools",
    "DEFAULT_TOOLS": ".tools",
    "LINE_LIMIT": ".tools",
    "MAX_TIMEOUT": ".tools",
    "OUTPUT_LIMIT": ".tools",
    "TOOLS": ".tools",
    "AsyncJob": ".client",
    "AsyncSandbox": ".sandbox",
    "AsyncSession": ".session",
    "Closed": "sandbox_tools_server.wire",
    "CommandEnd": "sandbox_tools_server.wire",
    "CommandResult": ".client",
    "CommandStatus": "sandbox_tools_server.wire",
    "Event": "sandbox_tools_server.wire",
    "Exited": "sandbox_tools_server.wire",
    "FileContent": ".operations",
    "Gap": "sandbox_tools_server.wire",
    "Hands": ".sandbox",
    "Job": ".client",
    "MissingExtra": ".errors",
    "NotOwned": ".errors",
    "Output": "sandbox_tools_server.wire",
    "ProtocolError": ".errors",
    "ReadLedger": ".ledger",
    "Refused": ".errors",
    "Sandbox": ".sandbox",
    "SandboxClosed": ".errors",
    "SandboxError": ".errors",
    "Session": ".session",
    "StartError": ".errors",
    "Started": "sandbox_tools_server.wire",
    "TerminalSize": "sandbox_tools_server.wire",
    "ToolResult": ".tools",
    "ToolSpec": ".tools",
    "Unreachable": ".errors",
    "session_of": ".sandbox",
    "tool_set": ".tools",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
