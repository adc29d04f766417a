"""The flows that run, follow and end commands."""

from __future__ import annotations

import time

from sandbox_tools.streaming import END, Position
from sandbox_tools_server.wire import (
    MAX_REPLY,
    CommandEnd,
    CommandList,
    CommandReply,
    CommandsEnd,
    CommandStart,
    Event,
    Exited,
    InputTaken,
    TerminalSize,
)

from .flow import Flow, Request, ask
from .following import (
    Feed,
    Follower,
    Line,
    OnEvent,
    as_json,
    command_path,
    has_exited,
    or_end,
    seconds_left,
    until_after,
)


def run_command(
    id: str,
    start: CommandStart,
    on_event: OnEvent,
    *,
    input: bytes = b"",
    live: bool = False,
    keep: int | None = None,
    within: float | None = None,
    detach: bool = False,
) -> Flow[Exited | None]:
    """Run a command, or attach to it, and follow it to its exit; None if that did not come `within` some seconds.

    However often the connection breaks, the command runs once and every byte arrives once. If the flow is interrupted
    (a cancelled task, Ctrl-C, an error of `on_event`), the command is ended. If the sandbox cannot be reached, it is
    not: the error tells its id.

    Arguments:
        id: chosen by the caller, for this command alone.
        start: what to run.
        on_event: called with each event: the exit too, and the close if it is known by then.
        input: what it is to read, up to its end, if `start` opens its stdin.
        live: whether events are wanted as they happen; else they come when it has exited, or printed much.
        keep: unless `live`, fetch at most so many bytes of stdout, a quarter from the start and the rest to the end.
            What is between is told as `Skipped`. The command is never held up.
        within: seconds after which to stop following; the command goes on.
        detach: whether the command goes on if the flow is interrupted.
    """
    line = Line(id, start)
    follower = Follower(line, Position(), on_event, start.timeout)
    until = until_after(within)
    if keep is None or live:
        following = follower.follow(1 if live else MAX_REPLY, until, Feed(line, input) if input else None)
    else:
        following = follower.follow_ends(keep, until)
    return (yield from or_end(line, following, detach))


def follow_command(id: str, on_event: OnEvent, position: Position, *, live: bool = False) -> Flow[Exited]:
    """Follow a command to its exit without starting it, from a position on. An interruption does not end it."""
    end = yield from Follower(Line(id), position, on_event).follow(1 if live else MAX_REPLY)
    assert end is not None  # it follows without a bound in time
    return end


def start_command(id: str, start: CommandStart) -> Flow[CommandReply]:
    """Start a command, or attach to it, and return at once. An interruption meanwhile ends it."""
    line = Line(id, start)
    return (yield from or_end(line, line.ask(Position(), 0, limit=0), detach=False))


def poll_command(
    id: str,
    position: Position,
    *,
    wait: float,
    enough: int | None = None,
    limit: int = MAX_REPLY,
    exited: bool = False,
) -> Flow[list[Event]]:
    """What a command did since a position, which is moved on.

    Arguments:
        wait: for how many seconds to wait for its exit, at most 20.
        enough: wait no longer once there are so many bytes of output; the command is held up until they are fetched.
        limit: the most output to fetch, in bytes.
        exited: whether its exit is known: then more output, or the close, is waited for.
    """
    reply = yield from Line(id).ask(position, wait, enough=enough, limit=limit, exited=exited)
    position.size = reply.sizes.get("stdout", 0)
    return list(position.take(reply.events))


def wait_command(id: str, within: float | None = None) -> Flow[bool]:
    """Whether a command exits within some seconds. None of its output is fetched."""
    line = Line(id)
    until = until_after(within)
    while True:
        reply = yield from line.ask(Position(END, END), seconds_left(until), limit=0)
        if has_exited(reply) or time.monotonic() >= until:
            return has_exited(reply)


def send_input(
    id: str, data: bytes, *, offset: int | None = None, close: bool = False, within: float | None = None
) -> Flow[InputTaken]:
    """Send a command all of its next input; `Refused` (code `input_closed`) if it takes no more.

    Arguments:
        offset: how many bytes of input came before; None to ask the sandbox.
        close: whether this is the end of its input.
        within: seconds after which to give up on a command that does not read. The answer's `size` tells how far it
            came.
    """
    line = Line(id)
    until = until_after(within)
    if offset is None:
        offset = (yield from line.give(b"", 0)).size
    at = offset
    while True:
        taken = yield from line.give(data, at, first=offset, close=close, wait=seconds_left(until))
        at = taken.size
        if (at >= offset + len(data) and (taken.closed or not close)) or time.monotonic() >= until:
            return taken


def resize_terminal(id: str, size: TerminalSize) -> Flow[TerminalSize]:
    """Change the size of a command's terminal; `Refused` (code `invalid_request`) if it has none."""
    return (yield from ask(TerminalSize, Request("PUT", f"{command_path(id)}/terminal", content=as_json(size))))


def end_command(id: str) -> Flow[CommandEnd]:
    """End a command and all that it started. An id that did not run yet never will."""
    return (yield from ask(CommandEnd, Request("DELETE", command_path(id))))


def end_commands() -> Flow[CommandsEnd]:
    """End every command and all that they left running."""
    return (yield from ask(CommandsEnd, Request("DELETE", "/v1/commands")))


def list_commands() -> Flow[CommandList]:
    """List the commands that run, and the ended ones that are kept."""
    return (yield from ask(CommandList, Request("GET", "/v1/commands")))
