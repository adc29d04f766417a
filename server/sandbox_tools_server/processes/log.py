"""What a command printed to one stream, by byte offset: in memory while it is little, else on disk, always bounded."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from .segments import Segments

logger = logging.getLogger(__name__)

HEAD: Final = 16 * 1024
"""How much of the beginning stays in memory once there is more, in bytes."""

TAIL: Final = 64 * 1024
"""How much of the end stays in memory while the command prints, in bytes."""

BATCH: Final = 128 * 1024
"""How much is written to disk at a time, at the least, in bytes."""

BACKLOG: Final = 1024 * 1024
"""How much may wait to be written before the command has to, in bytes."""

SHORT: Final = 4_000
"""Up to how many bytes of output there is no file of it: a reader is shown all of that anyway."""


class OutputLog:
    """An append-only log that keeps its head and its tail; what falls out between is a gap, never hidden.

    It belongs to one event loop; all work on disk is done in another thread.

    Arguments:
        segments: where it is kept on disk.
        executor: the one thread that works on disk.
        changed: called when there is room again for more output.
    """

    def __init__(self, segments: Segments, executor: Executor, changed: Callable[[], object]) -> None:
        self.size = 0
        self._segments = segments
        self._executor = executor
        self._changed = changed
        self._head = b""
        self._recent: deque[bytes] = deque()
        self._recent_start = 0
        self._written = 0  # nothing before it waits to be written any more
        self._writing: asyncio.Future[None] | None = None
        self._warned = False

    @property
    def has_file(self) -> bool:
        """Whether there is a file of it."""
        return self._segments.begun

    @property
    def path(self) -> str | None:
        """The file of its beginning, if it is on disk."""
        return self._segments.path if self._written and self.has_file else None

    @property
    def more_paths(self) -> str | None:
        """A pattern of the files that have its end, if it did not all go into one."""
        return f"{self._segments.path}.*" if self.path and not self._segments.in_one_file else None

    @property
    def on_disk(self) -> int:
        """How many bytes it holds on disk."""
        return self._segments.held

    @property
    def dropped(self) -> int:
        """How many bytes are kept nowhere."""
        return max(min(self._written - self._segments.held, self._recent_start - len(self._head)), 0)

    @property
    def full(self) -> bool:
        """Whether more should not be added before some of it is on disk."""
        return self.size - self._written > BACKLOG

    def append(self, data: bytes) -> None:
        """Add what was printed."""
        self._recent.append(data)
        self.size += len(data)
        if self.size - self._written >= BATCH:
            self.write()

    def write(self) -> None:
        """Begin to put on disk what is not there yet."""
        if self._writing is None and self._written < self.size:
            start, pending = self._recent_start, list[bytes]()
            for chunk in self._recent:
                if start >= self._written:
                    pending.append(chunk)
                start += len(chunk)
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(self._executor, self._segments.append, pending)
            self._writing.add_done_callback(functools.partial(self._wrote, self.size))

    def touch(self) -> None:
        """Have a file of it, so that a later server knows of the command."""
        self._executor.submit(self._segments.touch)

    def _wrote(self, end: int, writing: asyncio.Future[None]) -> None:
        writing.result()
        self._writing = None
        self._written = end
        if self._segments.failure and not self._warned:
            self._warned = True
            logger.warning("Output could not be kept in %s: %s", self._segments.path, self._segments.failure)
        self._trim(TAIL)
        if self.size - end >= BATCH:
            self.write()
        self._changed()

    def _trim(self, tail: int) -> None:
        """Forget chunks that are on disk, but for the last bytes."""
        while self._recent:
            end = self._recent_start + len(self._recent[0])
            if end > self._written or end > self.size - tail:
                break
            if self._recent_start < HEAD:
                self._head += self._recent[0][: HEAD - self._recent_start]
            self._recent_start = end
            self._recent.popleft()

    async def settle(self) -> None:
        """Put all that is there by now on disk, unless it is short."""
        end = self.size
        while SHORT < end and self._written < end:
            self.write()
            assert self._writing
            await asyncio.wait([self._writing])

    def release(self) -> None:
        """Nothing more will come: hold nothing in memory that is on disk."""
        if self._segments.failure is None:
            self._trim(0)
            if not self._recent:
                self._head = b""
        if self.has_file:
            self._executor.submit(self._segments.close)

    async def read(self, after: int, limit: int) -> tuple[list[tuple[int, bytes]], int]:
        """What is kept from an offset on: pieces with where they begin, of at most `limit` bytes, and where they end.

        What is missing before that end is lost.
        """
        pieces: list[tuple[int, bytes]] = []
        while limit > 0 and after < self.size:
            start, data = self._held(after, limit)
            if start > after:
                on_disk, found = await self._on_disk(after, min(limit, start - after))
                if not found or on_disk >= start:
                    after = start
                    continue
                start, data = on_disk, found
            pieces.append((start, data))
            after = start + len(data)
            limit -= len(data)
        return pieces, after

    async def _on_disk(self, after: int, limit: int) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._segments.read, after, limit)

    def _held(self, after: int, limit: int) -> tuple[int, bytes]:
        """The first bytes in memory at or behind an offset, and where they begin."""
        if after < len(self._head):
            return after, self._head[after : after + limit]
        start = self._recent_start
        after = max(after, start)
        parts: list[bytes] = []
        size = 0
        for chunk in self._recent:
            skip = max(after - start, 0)
            start += len(chunk)
            if skip < len(chunk):
                parts.append(chunk[skip : skip + limit - size])
                size += len(parts[-1])
                if size == limit:
                    break
        return after, b"".join(parts)

    def remove(self) -> None:
        """Delete what is on disk."""
        self._executor.submit(self._segments.remove)
