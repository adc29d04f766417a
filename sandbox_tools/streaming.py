"""Events of a command, each byte once: where to resume, and what of an answer is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sandbox_tools_server.wire import Event, Gap, Output, Ping, Started

from .errors import ProtocolError

END = 2**62
"""An offset beyond all output: whoever asks from here on is told what happened and no output."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Output that nobody asked for: bytes `start` to `end` of stdout. They can still be read."""

    start: int
    end: int


@dataclass(slots=True)
class Position:
    """How far a command's output was followed.

    Attributes:
        offset: the byte of stdout to ask for next; of all that it prints, if its streams are merged.
        stderr: the byte of stderr to ask for next.
        started: whether its start was told.
        size: how much was printed to stdout by the last answer, in bytes.
    """

    offset: int = 0
    stderr: int = 0
    started: bool = False
    size: int = 0

    def take(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events without what was told before; `ProtocolError` if output is missing and no gap is told."""
        for event in events:
            if isinstance(event, Output):
                after = self.stderr if event.stream == "stderr" else self.offset
                if event.offset > after:
                    raise ProtocolError(f"The sandbox sent byte {event.offset:,} of the output instead of {after:,}.")
                data = event.data[after - event.offset :]
                if not data:
                    continue
                if event.offset < after:
                    event = Output.model_construct(stream=event.stream, offset=after, data=data)
                self._advance(event.stream, after + len(data))
            elif isinstance(event, Gap):
                after = self.stderr if event.stream == "stderr" else self.offset
                if event.end <= after:
                    continue
                event = Gap.model_construct(stream=event.stream, start=after, end=event.end)
                self._advance(event.stream, event.end)
            elif isinstance(event, Started):
                if self.started:
                    continue
                self.started = True
            elif isinstance(event, Ping):
                continue
            yield event

    def _advance(self, stream: str, offset: int) -> None:
        if offset > END:
            raise ProtocolError("The sandbox claims more output than there can be.")
        if stream == "stderr":
            self.stderr = offset
        else:
            self.offset = offset
