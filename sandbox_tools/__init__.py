"""Tools that let an agent work in a sandbox, in any framework. Each name is imported when it is first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import CommandResult
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
        DEFAULT_READ_LIMIT,
        DEFAULT_TIMEOUT,
        LINE_LIMIT,
        MAX_TIMEOUT,
        OUTPUT_LIMIT,
        TOOLS,
        ToolResult,
        ToolSpec,
        select,
    )

__all__ = [
    "DEFAULT_READ_LIMIT",
    "DEFAULT_TIMEOUT",
    "LINE_LIMIT",
    "MAX_TIMEOUT",
    "OUTPUT_LIMIT",
    "TOOLS",
    "AsyncSandbox",
    "AsyncSession",
    "CommandResult",
    "FileContent",
    "Hands",
    "MissingExtra",
    "NotOwned",
    "ProtocolError",
    "ReadLedger",
    "Refused",
    "Sandbox",
    "SandboxClosed",
    "SandboxError",
    "Session",
    "StartError",
    "ToolResult",
    "ToolSpec",
    "Unreachable",
    "select",
    "session_of",
]

_MODULES = {
    "DEFAULT_READ_LIMIT": "tools",
    "DEFAULT_TIMEOUT": "tools",
    "LINE_LIMIT": "tools",
    "MAX_TIMEOUT": "tools",
    "OUTPUT_LIMIT": "tools",
    "TOOLS": "tools",
    "AsyncSandbox": "sandbox",
    "AsyncSession": "session",
    "CommandResult": "client",
    "FileContent": "operations",
    "Hands": "sandbox",
    "MissingExtra": "errors",
    "NotOwned": "errors",
    "ProtocolError": "errors",
    "ReadLedger": "ledger",
    "Refused": "errors",
    "Sandbox": "sandbox",
    "SandboxClosed": "errors",
    "SandboxError": "errors",
    "Session": "session",
    "StartError": "errors",
    "ToolResult": "tools",
    "ToolSpec": "tools",
    "Unreachable": "errors",
    "select": "tools",
    "session_of": "sandbox",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
