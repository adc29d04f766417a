"""The tools of a sandbox in the shape of each framework. A framework is imported when its tools are first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .langchain import SandboxToolkit, langchain_tools
    from .openai import arun_openai_tool_calls, openai_tools, run_openai_tool_calls
    from .smolagents import smolagents_tools

__all__ = [
    "SandboxToolkit",
    "arun_openai_tool_calls",
    "langchain_tools",
    "openai_tools",
    "run_openai_tool_calls",
    "smolagents_tools",
]

_MODULES = {
    "SandboxToolkit": "langchain",
    "arun_openai_tool_calls": "openai",
    "langchain_tools": "langchain",
    "openai_tools": "openai",
    "run_openai_tool_calls": "openai",
    "smolagents_tools": "smolagents",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
