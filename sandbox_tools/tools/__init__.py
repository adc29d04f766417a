"""What the model sees: tool definitions, validation, dispatch and handlers."""

from sandbox_tools_server.output import LINE_LIMIT, OUTPUT_LIMIT
from sandbox_tools_server.output import READ_LINES as DEFAULT_READ_LIMIT

from .data import CommandData, EditData, InputData, JobData, JobsData, KillData, ReadData, WriteData
from .dispatch import dispatch
from .known_jobs import KnownJob, KnownJobs
from .sets import ALL_TOOLS, DEFAULT_TOOLS, TOOLS, tool_set
from .spec import DEFAULT_TIMEOUT, MAX_TIMEOUT, Context, OnOutput, ToolResult, ToolSpec

__all__ = [
    "ALL_TOOLS",
    "DEFAULT_READ_LIMIT",
    "DEFAULT_TIMEOUT",
    "DEFAULT_TOOLS",
    "LINE_LIMIT",
    "MAX_TIMEOUT",
    "OUTPUT_LIMIT",
    "TOOLS",
    "CommandData",
    "Context",
    "EditData",
    "InputData",
    "JobData",
    "JobsData",
    "KillData",
    "KnownJob",
    "KnownJobs",
    "OnOutput",
    "ReadData",
    "ToolResult",
    "ToolSpec",
    "WriteData",
    "dispatch",
    "tool_set",
]
