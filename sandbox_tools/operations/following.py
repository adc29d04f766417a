"""One command from afar: what to ask next over a line that breaks, and what to tell of the answers."""

from __future__ import annotations

import contextlib
import math
import time
import urllib.parse
from collections.abc import Callable

from sandbox_tools.errors import ProtocolError, Refused, SandboxError, Unreachable
from sandbox_tools.streaming import END, Position, Skipped
from sandbox_tools_server.wire import (
    MAX_REPLY,
    MAX_WAIT,
    CommandInput,
    CommandReply,
    CommandStart,
    Event,
    Exited,
    InputTaken,
    Message,
)

from .flow import MARGIN, Emit, Flow, Knowledge, Pause, Recall, Request, Result, ask, call, health

OVERTIME = 60.0
"""How long after its time is up a command's end is awaited, in seconds."""

FAREWELL = 10.0
"""How long an interrupted command's end may take, in seconds."""

LEAST_REPLY = 1024
"""The least output to ask for over a line that breaks off in the middle of answers, in bytes."""

INPUT_PART = 256 * 1024
"""How much of a command's input one request carries, in bytes."""

OnEvent = Callable[[Event | Skipped], object]
"""Is given each event as it comes. An `Emit` that it returns goes to whoever iterates over the flow."""


def command_path(id: str) -> str:
    """Where a command is, on the server."""
    return f"/v1/commands/{urllib.parse.quote(id, safe='', errors='replace')}"


def as_json(model: Message) -> bytes:
    """A body: what it does not say is as the protocol has it."""
    return model.model_dump_json(exclude_defaults=True).encode()


def until_after(within: float | None) -> float:
    """The moment on this machine's clock that is so many seconds from now, or never."""
    return math.inf if within is None else time.monotonic() + within


def seconds_left(until: float) -> float:
    """How long the next poll may wait."""
    return max(min(until - time.monotonic(), MAX_WAIT), 0.0)


def has_exited(reply: CommandReply) -> bool:
    """Whether an answer tells the exit."""
    return any(isinstance(event, Exited) for event in reply.events)


def or_end(line: Line, flow: Flow[Result], detach: bool) -> Flow[Result]:
    """A flow whose interruption ends the command, unless what ended the flow came from the sandbox."""
    try:
        return (yield from flow)
    except GeneratorExit:
        raise
    except BaseException as error:
        if not detach and error is not line.failure:
            with contextlib.suppress(SandboxError):  # what interrupted us goes first
                yield from call(Request("DELETE", line.path, timeout=FAREWELL), FAREWELL)
        raise


class Line:
    """The way to one command: it knows what to ask next, and learns how much of an answer gets through.

    Arguments:
        start: what to run; None to attach to what runs.

    Attributes:
        failure: what the sandbox, or the way to it, said instead of an answer.
    """

    def __init__(self, id: str, start: CommandStart | None = None) -> None:
        self.path = command_path(id)
        self.failure: SandboxError | None = None
        self._id = id
        self._start = start
        self._content: bytes | None = None
        self._settled = start is None
        self._most = MAX_REPLY
        self._longest = MAX_WAIT

    def ask(
        self,
        position: Position,
        wait: float,
        *,
        enough: int | None = None,
        limit: int = MAX_REPLY,
        exited: bool = False,
    ) -> Flow[CommandReply]:
        """What it did since a position; see `poll_command`."""

        def request() -> Request:
            return self._request(position, wait, enough, limit, exited)

        def less(error: Unreachable) -> Request:
            self._learn(error)
            return request()

        def answer() -> Flow[CommandReply]:
            if self._start is not None and self._content is None:
                self._address(self._start, (yield from _boot()))
            while True:
                try:
                    return (yield from ask(CommandReply, request(), less=less))
                except Refused as refusal:
                    lost = refusal.code == "command_lost" and "boot_id" in refusal.data
                    if self._start is None or self._settled or refusal.doubtful or not lost:
                        raise
                    self._address(self._start, str(refusal.data["boot_id"]))  # restarted before this was ever sent
                    self._settled = True

        reply = yield from self._heard(answer())
        self._settled = True
        self._most = min(self._most + self._most // 4, MAX_REPLY)
        self._longest = min(self._longest * 1.1, MAX_WAIT)
        return reply

    def give(self, data: bytes, at: int, *, first: int = 0, close: bool = False, wait: float = 0.0) -> Flow[InputTaken]:
        """Send the part of some input that begins at byte `at`, and may have been taken already.

        Arguments:
            first: where `data` itself begins.
            close: whether no more comes after `data`.
            wait: for how many seconds to wait for room.
        """
        part = data[at - first : at - first + INPUT_PART]
        last = at + len(part) >= first + len(data)
        body = CommandInput.model_construct(offset=at, data=part, close=close and last)
        request = Request("POST", f"{self.path}/input", {"wait": wait}, as_json(body), timeout=wait + MARGIN)
        taken = yield from self._heard(ask(InputTaken, request))
        if not at <= taken.size <= END:
            raise ProtocolError(f"The sandbox had taken input up to byte {at:,} and then said {taken.size:,}.")
        return taken

    def _request(self, position: Position, wait: float, enough: int | None, limit: int, exited: bool) -> Request:
        most = min(limit, self._most)
        params: dict[str, str | int | float] = {
            "after": position.offset,
            "wait": min(wait, self._longest),
        }
        if most < MAX_REPLY:
            params["limit"] = most
        if position.stderr:
            params["after_stderr"] = position.stderr
        if enough is not None:
            params["enough"] = max(min(enough, most), 1)
        if exited:
            params["exited"] = "true"
        return Request(
            "GET" if self._content is None else "PUT", self.path, params, self._content, timeout=wait + MARGIN
        )

    def _learn(self, error: Unreachable) -> None:
        if error.begun:  # the answer was too long
            self._most = max(self._most // 2, LEAST_REPLY)
        elif error.sent:  # it came too late
            self._longest = max(self._longest / 2, 1.0)

    def _address(self, start: CommandStart, boot_id: str) -> None:
        self._content = as_json(start.model_copy(update={"boot_id": boot_id}))

    def _heard(self, flow: Flow[Result]) -> Flow[Result]:
        try:
            return (yield from flow)
        except Unreachable as error:
            self.failure = error
            if error.final or not (self._settled or error.sent):
                raise
            hint = f"The command may still run: attach to it by its id, {self._id}."
            self.failure = Unreachable(f"{error} {hint}", sent=True)
            raise self.failure from error
        except SandboxError as error:
            self.failure = error
            raise


def _boot() -> Flow[str]:
    """The server process that is to run a command: another one must not."""
    knowledge: Knowledge = yield Recall()
    if knowledge.boot_id is None:
        return (yield from health()).boot_id
    return knowledge.boot_id


class Feed:
    """All of a command's input, given as it has room for it."""

    def __init__(self, line: Line, data: bytes) -> None:
        self.done = False
        self._line = line
        self._data = data
        self._at = 0
        self._wait = 0.05

    def give(self) -> Flow[None]:
        """Send the next part. A command that does not read is waited for, longer each time, but not for long."""
        try:
            taken = yield from self._line.give(self._data, self._at, close=True, wait=self._wait)
        except Refused as refusal:
            if refusal.code != "input_closed":
                raise
            self.done = True  # it has read all that it wanted
        else:
            self._wait = 0.05 if taken.size > self._at else min(self._wait * 2, 1.0)
            self._at = taken.size
            self.done = taken.closed


class Follower:
    """Tells what a command does, event by event.

    Arguments:
        timeout: seconds that the command may run, if that is bounded.
    """

    def __init__(self, line: Line, position: Position, on_event: OnEvent, timeout: float | None = None) -> None:
        self._line = line
        self._position = position
        self._on_event = on_event
        self._deadline = until_after(timeout and timeout + OVERTIME)
        self._end: Exited | None = None

    def follow(self, enough: int, until: float = math.inf, feed: Feed | None = None) -> Flow[Exited | None]:
        """Tell everything, `enough` bytes at once, to the exit."""
        while True:
            feeding = feed is not None and not feed.done
            before = self._reached
            greeting = enough == 1 and not self._position.started  # that it runs is told at once
            yield from self._turn(0.0 if feeding or greeting else seconds_left(until), enough=enough)
            if self._end or time.monotonic() >= until:
                return self._end
            if feed is not None and feeding:
                yield from feed.give()
            elif self._reached == before and not greeting:
                yield from self._idle()

    def follow_ends(self, keep: int, until: float) -> Flow[Exited | None]:
        """Tell the first quarter of `keep` bytes, and when it has exited the rest of them, up to the end."""
        head = keep // 4
        position = self._position
        while True:
            before = self._reached
            reply = yield from self._turn(seconds_left(until), limit=max(head - position.offset, 0))
            if self._end:
                return self._end
            if reply.sizes.get("stdout", 0) > position.offset:  # an exit would come only after all of that
                reply = yield from self._line.ask(Position(END, END), 0, limit=0)
            ended = has_exited(reply)
            if ended or time.monotonic() >= until:
                break
            if self._reached == before:
                yield from self._idle()
        size = reply.sizes.get("stdout", 0)
        tail = size - (keep - head)
        if tail > position.offset:
            yield from self._tell(Skipped(position.offset, tail))
            position.offset = tail
        while ended or position.offset < size:
            before = self._reached
            yield from self._turn(0, limit=MAX_REPLY if ended else min(size - position.offset, MAX_REPLY))
            if self._end:
                break
            if self._reached == before:
                yield from self._idle()
        return self._end

    @property
    def _reached(self) -> tuple[int, int]:
        return self._position.offset, self._position.stderr

    def _turn(self, wait: float, *, enough: int | None = None, limit: int = MAX_REPLY) -> Flow[CommandReply]:
        reply = yield from self._line.ask(self._position, wait, enough=enough, limit=limit)
        for event in self._position.take(reply.events):
            yield from self._tell(event)
            if isinstance(event, Exited):
                self._end = event
        return reply

    def _tell(self, event: Event | Skipped) -> Flow[None]:
        told = self._on_event(event)
        if isinstance(told, Emit):
            yield told

    def _idle(self) -> Flow[None]:
        """Nothing new came: a server that says so at once must not be asked without a pause."""
        if time.monotonic() > self._deadline:
            raise Unreachable("The sandbox did not end the command when its time was up.", sent=True, final=True)
        yield Pause(0.05)
