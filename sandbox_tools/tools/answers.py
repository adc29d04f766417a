"""What a model is told of a command: its output, cut to size, and one line about how it stands. Pure."""

from __future__ import annotations

from sandbox_tools.errors import Refused
from sandbox_tools_server.output import OUTPUT_LIMIT, LastLines, OutputText, describe_end
from sandbox_tools_server.wire import Exited

from .data import Data
from .printed import Printed
from .spec import ToolResult

FRAME = 10
"""How many characters an answer has around the output and its last line."""

JOB_TOOLS = ("bash_output", "bash_kill")
"""What a model needs to have anything to do with jobs."""


def told(text: OutputText | LastLines, status: str, data: Data, *, success: bool = True, where: str = "") -> ToolResult:
    """An answer of at most `OUTPUT_LIMIT` characters: the output, then its last line.

    Arguments:
        status: what the last line says, without a capital and a full stop.
        where: a sentence that says how to see what is left out.
    """
    output = text.render(_room(status), where=where)
    if not success:
        return ToolResult(success=False, output=output, error=f"{status[:1].upper()}{status[1:]}.", data=data)
    separator = "\n" if output and not output.endswith("\n") else ""
    return ToolResult(success=True, output=f"{output}{separator}[{status}]", data=data)


def lost(printed: Printed, refusal: Refused) -> ToolResult:
    """What is left of a command when its server was restarted; the refusal says where the rest of it is."""
    printed.finish()
    output = printed.text.render(_room(str(refusal)))
    return ToolResult(success=False, output=output, error=str(refusal), code=refusal.code)


def _room(status: str) -> int:
    return max(OUTPUT_LIMIT - len(status) - FRAME, 0)


def ending(end: Exited) -> str:
    """How a command ended, in one phrase."""
    return describe_end(end.code, end.signal, end.timed_out, end.killed, end.duration)


def place(end: Exited) -> str:
    """Say how to see all that a command has printed, if it is in a file."""
    if end.log is None:
        return f"{end.dropped:,} bytes of the output are kept nowhere." if end.dropped else ""
    files = f"{end.log} and {end.more_logs}" if end.more_logs else end.log
    if end.dropped:
        return f"{end.dropped:,} bytes of the output are kept nowhere; the rest is in {files}: search it with grep."
    return f"The full output is in {files}: read it with read, or search it with grep."


def place_so_far(log: str | None) -> str:
    """Say how to see all that a job has printed up to now; it may need more files than one."""
    return f"What is kept of the output is in {log} and {log}.*: search it with grep." if log else ""


def left_behind(end: Exited, job: str = "") -> list[str]:
    """What to say of what a command has left running.

    Arguments:
        job: how to get at it.
    """
    remarks: list[str] = []
    if end.left_running:
        remarks.append(f"something that it started is still running{job}")
    if end.unverified:
        remarks.append("something that it started may still be running")
    return remarks
