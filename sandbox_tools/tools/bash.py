"""The tool that runs commands."""

from __future__ import annotations

from typing import Any

from sandbox_tools.client import new_id
from sandbox_tools.errors import Refused
from sandbox_tools.operations import Flow, run_command
from sandbox_tools_server.wire import CommandStart, Exited, TerminalSize

from .answers import JOB_TOOLS, ending, left_behind, lost, place, told
from .arguments import InvalidArguments
from .data import CommandData, Data, JobData
from .printed import Printed
from .spec import DEFAULT_TIMEOUT, MAX_TIMEOUT, Context, ToolResult, ToolSpec, parameters

KEEP = 2 * 1024 * 1024
"""How much of a command's output is fetched at the most, in bytes: a quarter from its start, the rest to its end."""

MOMENT = 0.3
"""How long a command in the background is watched, so that one that fails at once is seen to, in seconds."""

BEGINNING = """\
Run a command with bash in the sandbox and return what it prints (stdout and stderr, in the order they came) and how \
it ended.

- Each call is a new shell in the working directory: nothing but files lasts from one call to the next. Chain steps \
that depend on each other with &&.
- Use read, write and edit for files instead of cat, sed, echo or heredocs.
- stdin is empty: commands that ask for input get none. Pass flags such as -y.
- Long output is cut in the middle, and the answer names the file that has all of it.
"""

DESCRIPTION = f"""\
{BEGINNING}\
- The call ends when the shell ends. A server started with & keeps running; send its output to a file to read it \
later.
- A command that is not done after `timeout` seconds is ended with all that it started, and what it printed is \
returned."""

DESCRIPTION_WITH_JOBS = f"""\
{BEGINNING}\
- Start servers and long work with background=true: the call answers at once with the id of a job. See what it prints \
with bash_output, end it with bash_kill.
- Else the call ends when the shell ends, and a command that is not done after `timeout` seconds is ended with all \
that it started."""

COMMAND = {"type": "string", "minLength": 1, "description": "The bash command to run."}
ABOUT = {
    "type": "string",
    "description": "What the command does, in five to ten words, for people who watch (optional, default: none).",
}
WORK_DIR = {
    "type": "string",
    "maxLength": 4096,
    "description": "The directory to run it in (optional, default: the sandbox's working directory).",
}
TIMEOUT = {
    "type": "integer",
    "minimum": 0,
    "description": (
        f"Seconds until it is ended, 1 to {MAX_TIMEOUT} (optional, default: {DEFAULT_TIMEOUT} or the session's)."
    ),
}
TIMEOUT_WITH_JOBS = {
    **TIMEOUT,
    "description": (
        f"Seconds until it is ended, 1 to {MAX_TIMEOUT} (optional, default: {DEFAULT_TIMEOUT} or the session's; none "
        "with background=true)."
    ),
}
BACKGROUND = {
    "type": "boolean",
    "description": "Whether to answer at once and let it run as a job that bash_input can write to "
    "(optional, default: false).",
}
TTY = {
    "type": "boolean",
    "description": "Whether to give it a terminal, for programs that want one; only with background=true "
    "(optional, default: false).",
}

PARAMETERS = parameters(("command",), command=COMMAND, description=ABOUT, work_dir=WORK_DIR, timeout=TIMEOUT)
PARAMETERS_WITH_JOBS = parameters(
    ("command",),
    command=COMMAND,
    description=ABOUT,
    work_dir=WORK_DIR,
    timeout=TIMEOUT_WITH_JOBS,
    background=BACKGROUND,
    tty=TTY,
)


def bash(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """Run a command to its end, or until it becomes a job."""
    background: bool = arguments.get("background", False)
    tty: bool = arguments.get("tty", False)
    if tty and not background:
        raise InvalidArguments("bash: 'tty' is for jobs only; pass background=true with it.")
    wanted: int | None = arguments.get("timeout") or (None if background else context.timeout)
    timeout = wanted and min(wanted, MAX_TIMEOUT)
    start = CommandStart.model_construct(
        command=arguments["command"],
        cwd=arguments.get("work_dir") or context.cwd,
        env={},
        timeout=timeout,
        stdin="open" if background else "empty",
        streams="merged",
        tty=TerminalSize() if tty else None,
        boot_id=None,
    )
    id = new_id()
    printed = Printed(on_output=context.on_output)
    live = context.on_output is not None
    within = MOMENT if background else context.yield_after
    try:
        end = yield from run_command(id, start, printed.take, live=live, keep=None if live else KEEP, within=within)
    except Refused as refusal:
        if refusal.code != "command_lost":
            raise
        return lost(printed, refusal)
    remarks = [f"`timeout` was cut to {MAX_TIMEOUT} seconds"] if wanted != timeout else []
    if end is not None:
        return _ended(context, id, start, printed, end, remarks)
    began = "runs in the background" if background else f"is still running after {within:g} s"
    return _goes_on(context, id, start, printed, [began, *remarks])


def _ended(
    context: Context, id: str, start: CommandStart, printed: Printed, end: Exited, remarks: list[str]
) -> ToolResult:
    if not end.left_running:
        printed.finish()
    is_job = start.stdin == "open"
    if is_job or end.left_running:
        context.jobs.note(id, printed.known(start.command, ended=True))
    job = f' as job "{id}"'
    otherwise = "start it with & and its output in a file"
    if context.offers(*JOB_TOOLS):
        job += " (bash_output shows what it prints, bash_kill ends it)"
        otherwise = "run it with background=true"
    if end.timed_out:
        remarks.insert(0, f"to let it take longer, pass a larger `timeout`, or {otherwise}")
    status = "; ".join([ending(end), *left_behind(end, job), *remarks])
    data: Data = CommandData(id, end.code, end.signal, end.timed_out, end.duration, end.left_running, end.log)
    if is_job:
        data = JobData.of(id, printed.offset, end)
    return told(printed.text, status, data, success=end.code == 0 and not end.timed_out, where=place(end))


def _goes_on(context: Context, id: str, start: CommandStart, printed: Printed, remarks: list[str]) -> ToolResult:
    context.jobs.note(id, printed.known(start.command, ended=False))
    if start.timeout is not None:
        remarks.append(f"it will be ended after {start.timeout:g} s")
    reads = start.stdin == "open" and context.offers("bash_input")
    write = ", write to it with bash_input" if reads else ""
    how = f'Read on with bash_output(job="{id}"){write}, end it with bash_kill'
    where = f'See the last lines with bash_output(job="{id}", tail=200).'
    status = f'job "{id}" {"; ".join(remarks)}. {how}.'
    return told(printed.text, status, JobData.of(id, printed.offset, None), where=where)


BASH = ToolSpec("bash", DESCRIPTION, PARAMETERS, bash)

BASH_WITH_JOBS = ToolSpec("bash", DESCRIPTION_WITH_JOBS, PARAMETERS_WITH_JOBS, bash)
"""`bash` as a set of tools has it that can do something with jobs."""
