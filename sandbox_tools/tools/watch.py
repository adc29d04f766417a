"""A job's output, followed for a while."""

from __future__ import annotations

import time
from dataclasses import replace

from sandbox_tools.operations import Flow, Pause, list_commands, poll_command
from sandbox_tools.streaming import Position, Skipped
from sandbox_tools_server.output import LINE_LIMIT, LastLines
from sandbox_tools_server.wire import MAX_REPLY, MAX_WAIT, Closed, Exited

from .answers import ending, left_behind, place, place_so_far
from .known_jobs import KnownJob
from .printed import Printed

HEAD = 512 * 1024
"""How much of what is new is fetched from its start, in bytes."""

TAIL = 1536 * 1024
"""How much is fetched from the end, in bytes."""

BURST = 0.3
"""How long more output is waited for once there is some: what comes together is one answer. In seconds."""


class Watch:
    """A job's output, from where the model knows it."""

    def __init__(self, id: str, known: KnownJob) -> None:
        self.position = Position(known.offset, known.stderr)
        self.printed = Printed(known)
        self.end: Exited | None = None
        self._id = id
        self._known = known
        self._closed = False

    def look(self, wait: float = 0, enough: int | None = None, limit: int = HEAD) -> Flow[None]:
        """Take what there is."""
        events = yield from poll_command(
            self._id, self.position, wait=wait, enough=enough, limit=limit, exited=self.end is not None
        )
        for event in events:
            self.printed.take(event)
            if isinstance(event, Exited):
                self.end = event
            elif isinstance(event, Closed):
                self._closed = True

    def wait(self, seconds: float) -> Flow[None]:
        """Wait until there is something that the model does not know yet, or there never will be."""
        until = time.monotonic() + seconds
        had_news = self._has_news
        while not self._has_news and (left := until - time.monotonic()) > 0:
            yield from self.look(min(left, MAX_WAIT), enough=1)
            if not self._has_news:
                yield Pause(0.05)  # a server that answers at once with nothing must not be asked without a pause
        if self.printed.news and not had_news and self.end is None:
            yield from self.look(BURST)

    @property
    def _has_news(self) -> bool:
        return self.printed.news or self._closed or (self.end is not None and not self._known.ended)

    def all_new(self) -> Flow[None]:
        """Take what was printed up to now, but for the middle of very much."""
        size = self.position.size
        if size - self.position.offset > TAIL:
            self.printed.take(Skipped(self.position.offset, size - TAIL))
            self.position.offset = size - TAIL
        before = -1
        while before < self.position.offset < size:
            before = self.position.offset
            yield from self.look(limit=MAX_REPLY)
        if self.end is not None and self._closed:
            self.printed.finish()

    def last_lines(self, count: int) -> Flow[None]:
        """Take the last lines instead."""
        self.position = Position(0, self._known.stderr, size=self.position.size)
        self.printed = Printed(replace(self._known, offset=0), text=LastLines(count))
        yield from self.all_new()

    def where(self) -> Flow[str]:
        """A sentence that says how to see all of the output."""
        if self.end is not None:
            return place(self.end)
        if self.printed.offset - self.printed.start <= LINE_LIMIT:
            return ""
        jobs = (yield from list_commands()).commands
        return place_so_far(next((job.log for job in jobs if job.id == self._id), None))

    def state(self, longest: float | None) -> list[str]:
        """How the job stands, and whether there was anything new.

        Arguments:
            longest: the seconds that were waited, if more were asked for.
        """
        nothing = [] if self.printed.news else ["nothing new"]
        if self.end is not None:
            told = self._known.ended and self._closed
            return [f'job "{self._id}": {ending(self.end)}', *([] if told else left_behind(self.end)), *nothing]
        if nothing and longest is not None:
            nothing = [f"nothing new in {longest:g} s, the longest wait here"]
        return [f'job "{self._id}" is running', *nothing]
