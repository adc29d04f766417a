"""What the model sees: tool definitions, validation, dispatch and handlers."""

from sandbox_tools_server.output import LINE_LIMIT, OUTPUT_LIMIT
from sandbox_tools_server.output import READ_LINES as DEFAULT_READ_LIMIT

from .bash import BASH
from .dispatch import dispatch, select
from .files import EDIT, READ, WRITE
from .spec import (
    DEFAULT_TIMEOUT,
    MAX_TIMEOUT,
    CommandData,
    Context,
    EditData,
    ReadData,
    ToolResult,
    ToolSpec,
    WriteData,
)

TOOLS: dict[str, ToolSpec] = {spec.name: spec for spec in (BASH, READ, WRITE, EDIT)}
"""Every tool, by its name. To add one, add its `ToolSpec` here."""

__all__ = [
    "DEFAULT_READ_LIMIT",
    "DEFAULT_TIMEOUT",
    "LINE_LIMIT",
    "MAX_TIMEOUT",
    "OUTPUT_LIMIT",
    "TOOLS",
    "CommandData",
    "Context",
    "EditData",
    "ReadData",
    "ToolResult",
    "ToolSpec",
    "WriteData",
    "dispatch",
    "select",
]
