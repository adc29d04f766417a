"""The tools for commands that go on while the model does something else."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from sandbox_tools.errors import Refused
from sandbox_tools.operations import Flow, end_command, list_commands, send_input
from sandbox_tools_server.output import clip, counted
from sandbox_tools_server.wire import CommandStatus

from .answers import ending, lost, told
from .arguments import InvalidArguments
from .data import InputData, JobData, JobsData, KillData
from .known_jobs import KnownJob, in_short
from .spec import Context, ToolResult, ToolSpec, parameters
from .watch import Watch

DEFAULT_WAIT = 10

LONGEST_WAIT = 240

INPUT_WAIT = 10
"""How long a job that does not read is waited for, in seconds."""

JOB = {"type": "string", "minLength": 1, "maxLength": 64, "description": "The id of the job."}

# bash_output


OUTPUT_DESCRIPTION = """\
Show what a job prints: a command that was started with background=true, became a job, or left something running.

- Without `since` and `tail` it shows what is new since the last answer.
- If there is nothing new, it waits up to `wait` seconds for more output or for the job's end. Wait for long ones \
instead of asking again and again.
- The last line says whether the job is running or how it ended, and the offset at which its output goes on.
- A line without an end is shown as it is by now: a question, a progress bar.
- Long output is cut in the middle."""

OUTPUT_PARAMETERS = parameters(
    ("job",),
    job=JOB,
    since={
        "type": "integer",
        "minimum": 0,
        "maximum": 1_000_000_000_000_000,
        "description": "Show what was printed from this byte on; 0 is the first (optional, default: what is new).",
    },
    tail={
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000,
        "description": "Show so many of its last lines instead (optional, default: what is new).",
    },
    wait={
        "type": "integer",
        "minimum": 0,
        "maximum": LONGEST_WAIT,
        "description": f"Seconds to wait if there is nothing new, 0 to {LONGEST_WAIT} (optional, default: "
        f"{DEFAULT_WAIT}; 0 with `tail`).",
    },
)


def bash_output(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """Show what a job printed, and note what was shown."""
    since, tail = arguments.get("since"), arguments.get("tail")
    if since is not None and tail is not None:
        raise InvalidArguments("bash_output: pass 'since' or 'tail', not both.")
    id: str = arguments["job"]
    known = context.jobs.find(id) or KnownJob()
    watch = Watch(id, known if since is None else replace(known, offset=since))
    wanted: int = arguments.get("wait", 0 if tail else DEFAULT_WAIT)
    wait = min(wanted, context.yield_after or wanted)
    try:
        yield from watch.look()
        if since is not None and since > watch.position.size:
            most = f"{watch.position.size:,}, which is all that the job has printed"
            raise InvalidArguments(f"bash_output: 'since' must be at most {most}, not {since:,}.")
        yield from watch.wait(wait)
        yield from watch.last_lines(tail) if tail else watch.all_new()
        where = yield from watch.where()
    except Refused as refusal:
        if refusal.code == "command_lost":
            return lost(watch.printed, refusal)
        raise _no_job(context, id, refusal) from None
    context.jobs.note(id, watch.printed.known(known.command, ended=known.ended or watch.end is not None))
    state = watch.state(longest=wait if wait < wanted else None)
    status = "; ".join([*state, f"next offset {watch.printed.offset}"])
    return told(watch.printed.text, status, JobData.of(id, watch.printed.offset, watch.end), where=where)


def _no_job(context: Context, id: str, refusal: Refused) -> Refused:
    """What to say if a job is not there; an id that is none is no job either."""
    if refusal.code not in ("unknown_command", "invalid_request", "route_not_found"):
        return refusal
    hint = "bash_jobs lists those there are." if context.offers("bash_jobs") else ""
    return Refused("unknown_command", f"There is no job {id!r}.", hint)


BASH_OUTPUT = ToolSpec("bash_output", OUTPUT_DESCRIPTION, OUTPUT_PARAMETERS, bash_output)

# bash_input


INPUT_DESCRIPTION = """\
Write to a job's stdin: answer what it asks, type into a program. It must have been started with background=true.

- The text is sent as it is: end it with a newline to press Enter.
- In a terminal (tty=true), control characters work as keys do: "\\u0003" is Ctrl-C.
- The answer says what was taken; see what the job prints then with bash_output."""

INPUT_PARAMETERS = parameters(
    ("job", "text"),
    job=JOB,
    text={"type": "string", "maxLength": 100_000, "description": "What to write; it may be empty if `close` is set."},
    close={
        "type": "boolean",
        "description": "Whether this is the end of its input, as Ctrl-D (optional, default: false).",
    },
)


def bash_input(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """Give a job more to read."""
    id: str = arguments["job"]
    data = arguments["text"].encode()
    within = min(INPUT_WAIT, context.yield_after or INPUT_WAIT)
    try:
        before = (yield from send_input(id, b"", offset=0, within=0)).size
        taken = yield from send_input(id, data, offset=before, close=arguments.get("close", False), within=within)
    except Refused as refusal:
        if refusal.code == "input_closed":
            raise Refused("input_closed", *_takes_none(id)) from None
        raise _no_job(context, id, refusal) from None
    sent = InputData(id, taken.size - before, taken.closed)
    if sent.size < len(data):
        error = f"The job took {sent.size:,} of {counted(len(data), 'byte')}: it does not read. See what it prints."
        return ToolResult(success=False, error=error, data=sent)
    closed = " Its input is closed." if sent.closed else ""
    output = f'Sent {counted(sent.size, "byte")} to job "{id}".{closed} See what it prints with bash_output.'
    return ToolResult(success=True, output=output, data=sent)


def _takes_none(id: str) -> tuple[str, str]:
    return (
        f'Job "{id}" takes no more input: it was started without, its input was closed, or it has ended.',
        "See how it stands with bash_output.",
    )


BASH_INPUT = ToolSpec("bash_input", INPUT_DESCRIPTION, INPUT_PARAMETERS, bash_input, mutates=True)

# bash_kill


KILL_DESCRIPTION = """\
End a job with all that it started, and what a command has left running.

- The answer says whether it was ended, had already exited, or is unknown, and whether that could be verified.
- What it printed can still be seen with bash_output."""

KILL_PARAMETERS = parameters(("job",), job=JOB)


def bash_kill(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """End a job."""
    id: str = arguments["job"]
    try:
        end = yield from end_command(id)
    except Refused as refusal:
        raise _no_job(context, id, refusal) from None
    if end.result == "unknown":
        raise _no_job(context, id, Refused("unknown_command", ""))
    done = f'Ended job "{id}"' if end.result == "killed" else f'Job "{id}" had already exited'
    doubt = "something that it started may still be running" if end.unverified else "nothing of it is left running"
    return ToolResult(success=True, output=f"{done}; {doubt}.", data=KillData(id, end.result, end.unverified))


BASH_KILL = ToolSpec("bash_kill", KILL_DESCRIPTION, KILL_PARAMETERS, bash_kill)

# bash_jobs


JOBS_DESCRIPTION = """\
List the jobs: what runs in the sandbox, what left something running, and those of yours that have ended.

One line each, oldest first: id, state, when it was started, how much it printed, and its command."""


def bash_jobs(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """List what runs, and what this session has started."""
    known = context.jobs.all()
    there = [job for job in (yield from list_commands()).commands if job.id in known or _lives(job)]
    gone = known.keys() - {job.id for job in there}
    lines = [f"{id}  no longer known  {job.command}" for id, job in known.items() if id in gone]
    lines += map(_line, there)
    data = JobsData(tuple(JobData.of(job.id, job.output_bytes, job.exit, job.log) for job in there))
    return ToolResult(success=True, output=clip("\n".join(lines)) or "There are no jobs.", data=data)


def _lives(job: CommandStatus) -> bool:
    return job.exit is None or job.left_running


def _line(job: CommandStatus) -> str:
    left = "; something that it started still runs" if job.left_running else ""
    state = "running" if job.exit is None else ending(job.exit) + left
    ago = age(max(time.time() - job.started_at, 0))
    return f"{job.id}  {state}  started {ago} ago  {counted(job.output_bytes, 'byte')}  {in_short(job.command)}"


def age(seconds: float) -> str:
    """A span of time in a unit that fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


BASH_JOBS = ToolSpec("bash_jobs", JOBS_DESCRIPTION, parameters(()), bash_jobs)
