"""One stream's output in files of bounded size: the first keeps its beginning, the others its end."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)

OTHERS = 6
"""How many files there are at the most besides the first."""


@dataclass
class Budget:
    """How many more bytes all logs together may put on disk.

    Attributes:
        starved: whether the disk had no room for one of them lately.
    """

    left: int
    starved: bool = False


@dataclass
class Segment:
    """A file, and the offset of its first byte in all that was printed."""

    path: str
    start: int
    size: int = 0

    @property
    def end(self) -> int:
        return self.start + self.size


class Segments:
    """Files `path`, `path.0001`, `path.0002`, …: the first has a quarter of what is kept. Of the later ones, which have
    an eighth each, the oldest gives way. What could not be written is missing, no more.

    One thread at a time may use it.

    Arguments:
        path: of the first file; its folder exists.
        keep: the most bytes to have on disk.
        budget: shared with other logs.
    """

    def __init__(self, path: str, keep: int, budget: Budget) -> None:
        self.path = path
        self.size = 0
        self.failure: OSError | None = None
        self._keep = keep
        self._budget = budget
        self._segments: list[Segment] = []
        self._count = 0
        self._fd = -1
        self._room = 0

    def append(self, chunks: Sequence[bytes]) -> None:
        """Write what was printed next. It does not raise: `failure` says why some of it is missing."""
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                part = rest[: self._room] if self._room else rest[:0]
                try:
                    if not part:
                        self._open_next()
                        continue
                    written = self._write(part)
                except OSError as error:
                    self._give_up(error)
                    self.size += len(rest)
                    break
                self._segments[-1].size += written
                self._room -= written
                self.size += written
                rest = rest[written:]

    @property
    def held(self) -> int:
        """How many bytes are on disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def begun(self) -> bool:
        """Whether there is a first file."""
        return self._count > 0

    @property
    def in_one_file(self) -> bool:
        """Whether the first file has all of it."""
        return self._count == 1 and self.failure is None

    def touch(self) -> None:
        """Have the first file, even if there is nothing to put into it yet."""
        if not self._count:
            try:
                self._open_next()
            except OSError as error:
                self._give_up(error)

    def _open_next(self) -> None:
        self.close()
        if len(self._segments) > OTHERS:
            self._drop(self._segments[1])
        path = f"{self.path}.{self._count:04}" if self._count else self.path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._room = self._keep // (8 if self._count else 4)
        self._count += 1
        self._segments.append(Segment(path, self.size))

    def _write(self, part: memoryview) -> int:
        self._take_from_budget(len(part))
        written = 0
        try:
            written = os.write(self._fd, part)
        finally:
            self._budget.left += len(part) - written
        return written

    def _take_from_budget(self, count: int) -> None:
        while self._budget.left < count and len(self._segments) > 2:
            self._drop(self._segments[1])
        if self._budget.left < count:
            raise OSError("All logs together are as large as they may be")
        self._budget.left -= count

    def _give_up(self, error: OSError) -> None:
        """The next byte that can be written begins a file of its own."""
        self.failure = error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._budget.starved = True
        if self._fd >= 0 and len(self._segments) > 1 and not self._segments[-1].size:
            self._drop(self._segments[-1])
        self.close()

    def close(self) -> None:
        """Hold no file open. What is appended later begins a new one."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._room = -1, 0

    def _drop(self, segment: Segment) -> None:
        self._segments.remove(segment)
        try:
            os.unlink(segment.path)
        except FileNotFoundError:  # someone was faster
            pass
        except OSError as error:
            logger.warning("Old output could not be deleted: %s", error)
            return  # it still takes its room
        self._budget.left += segment.size

    def read(self, after: int, limit: int) -> tuple[int, bytes]:
        """The first bytes that are kept at or behind an offset, and where they begin; empty if there are none."""
        for segment in self._segments:
            if segment.end > after:
                start = max(after, segment.start)
                data = _read(segment.path, start - segment.start, min(limit, segment.end - start))
                if data:
                    return start, data
        return self.size, b""

    def remove(self) -> None:
        """Delete all of it."""
        self.close()
        for segment in list(self._segments):
            self._drop(segment)


def _read(path: str, offset: int, count: int) -> bytes:
    """What is at a place of a file; nothing if someone took the file away."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.pread(fd, count, offset)
    finally:
        os.close(fd)
