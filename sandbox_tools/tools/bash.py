"""The tool that runs commands."""

from __future__ import annotations

from typing import Any

from sandbox_tools.client import new_id
from sandbox_tools.operations import Flow, run_command
from sandbox_tools_server.output import OutputText, describe_end
from sandbox_tools_server.wire import CommandStart, Event, Exited, Gap, Output

from .spec import DEFAULT_TIMEOUT, MAX_TIMEOUT, CommandData, Context, ToolResult, ToolSpec, parameters

DESCRIPTION = """\
Run a command with bash in the sandbox and return what it prints (stdout and stderr, in the order they came) and how \
it ended.

- Each call is a new shell in the working directory: nothing but files lasts from one call to the next. Chain steps \
that depend on each other with &&.
- Use read, write and edit for files instead of cat, sed, echo or heredocs.
- stdin is empty: commands that ask for input get none. Pass flags such as -y.
- Long output is cut in the middle. Send it to a file, or filter it, to see the part that matters.
- The call ends when the shell ends. A server started with & keeps running; send its output to a file to read it \
later.
- A command that is not done after `timeout` seconds is ended with all that it started, and what it printed is \
returned."""

PARAMETERS = parameters(
    ("command",),
    command={"type": "string", "minLength": 1, "description": "The bash command to run."},
    description={
        "type": "string",
        "description": "What the command does, in five to ten words, for people who watch (optional, default: none).",
    },
    work_dir={
        "type": "string",
        "maxLength": 4096,
        "description": "The directory to run it in (optional, default: the sandbox's working directory).",
    },
    timeout={
        "type": "integer",
        "minimum": 0,
        "description": (
            f"Seconds until it is ended, 1 to {MAX_TIMEOUT} (optional, default: {DEFAULT_TIMEOUT} or the session's)."
        ),
    },
)


def bash(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """Run a command to its end."""
    wanted = arguments.get("timeout") or context.timeout
    timeout = min(wanted, MAX_TIMEOUT)
    text = OutputText()

    def take(event: Event) -> None:
        if isinstance(event, Output):
            text.feed(event.data)
        elif isinstance(event, Gap):
            text.gap(event.end - event.start)

    command_id = new_id()
    cwd = arguments.get("work_dir") or context.cwd
    start = CommandStart.model_construct(command=arguments["command"], cwd=cwd, env={}, timeout=timeout, boot_id=None)
    end = yield from run_command(command_id, start, take)
    data = CommandData(command_id, end.code, end.signal, end.timed_out, end.duration, end.left_running)
    return _result(text.render(), end, data, clamped=wanted > MAX_TIMEOUT)


def _result(output: str, end: Exited, data: CommandData, clamped: bool) -> ToolResult:
    how = describe_end(end.code, end.signal, end.timed_out, end.killed, end.duration)
    remarks: list[str] = [how]
    if end.timed_out:
        remarks.append("to let it take longer, pass a larger `timeout`, or start it with & and its output in a file")
    if data.still_running:
        remarks.append("something that it started is still running")
    if end.unverified:
        remarks.append("something that it started may still be running")
    if clamped:
        remarks.append(f"`timeout` was cut to {MAX_TIMEOUT} seconds")
    status = "; ".join(remarks)
    if end.code == 0 and not end.timed_out:
        separator = "\n" if output and not output.endswith("\n") else ""
        return ToolResult(success=True, output=f"{output}{separator}[{status}]", data=data)
    return ToolResult(success=False, output=output, error=status[:1].upper() + status[1:] + ".", data=data)


BASH = ToolSpec("bash", DESCRIPTION, PARAMETERS, bash)
