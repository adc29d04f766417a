"""Events of a command, each byte once: where to resume, and what of an answer is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sandbox_tools_server.wire import Event, Gap, Output


class Position:
    """How far a command's output was followed.

    Attributes:
        offset: the byte to ask for next.
    """

    def __init__(self) -> None:
        self.offset = 0

    def take(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events without what was seen before."""
        for event in events:
            if isinstance(event, Output):
                data = event.data[max(self.offset - event.offset, 0) :]
                if not data:
                    continue
                event = Output.model_construct(offset=self.offset, data=data)
                self.offset += len(data)
            elif isinstance(event, Gap):
                self.offset = event.end
            yield event
