"""What a command printed, by byte offset, in bounded memory."""

from __future__ import annotations

from sandbox_tools_server.wire import Gap, Output


class OutputLog:
    """An append-only log that keeps its head and its tail; what falls out between is counted, never hidden.

    Arguments:
        keep: how many bytes to hold at the most: a quarter from the start, three quarters to the end.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._head_size = keep // 4
        self._tail_size = keep - self._head_size
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0

    def append(self, data: bytes) -> None:
        """Add what was printed."""
        self.size += len(data)
        room = self._head_size - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        excess = len(self._tail) - self._tail_size
        if excess > 0:
            del self._tail[:excess]

    def read(self, after: int) -> list[Output | Gap]:
        """Everything from an offset on, with the gap where something was dropped."""
        events: list[Output | Gap] = []
        tail_start = self.size - len(self._tail)
        if after < len(self._head):
            events.append(Output.model_construct(offset=after, data=bytes(self._head[after:])))
            after = len(self._head)
        if after < tail_start:
            events.append(Gap(start=after, end=tail_start))
            after = tail_start
        if after < self.size:
            events.append(Output.model_construct(offset=after, data=bytes(self._tail[after - tail_start :])))
        return events
