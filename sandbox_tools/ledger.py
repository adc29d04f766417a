"""Which files a session has read, at which version, and how much of them. Pure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one file.

    Attributes:
        version: the version that was seen.
        total: how many lines it has.
        seen: the lines that were seen whole, as sorted, separate ranges of first and last, from 1.
    """

    version: str
    total: int
    seen: tuple[tuple[int, int], ...]

    @property
    def whole(self) -> bool:
        """Whether every line was seen."""
        return self.total == 0 or self.seen == ((1, self.total),)


class ReadLedger:
    """A map from canonical paths to what was seen of them. Threads may share it."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def find(self, path: str) -> Entry | None:
        """What is known of a file, by its canonical path."""
        return self._entries.get(path)

    def record(self, path: str, version: str, total: int, lines: Iterable[tuple[int, int]]) -> None:
        """Note that lines of a version were seen whole; what was seen of another version no longer counts."""
        with self._lock:
            known = self._entries.get(path)
            before = known.seen if known and known.version == version else ()
            self._entries[path] = Entry(version, total, _joined([*before, *lines]))

    def record_edit(self, path: str, version: str, total: int, first: int) -> None:
        """Note our own change: what was seen whole still is; else only what stands before the change is known."""
        with self._lock:
            known = self._entries.get(path)
            if known is not None and known.whole:
                lines = [(1, total)]
            else:
                lines = [(start, min(end, first - 1)) for start, end in (known.seen if known else ())]
            self._entries[path] = Entry(version, total, _joined(lines))

    def forget(self, path: str) -> None:
        """Note that nothing is known of a file any more."""
        with self._lock:
            self._entries.pop(path, None)

    def to_json(self) -> str:
        """The whole ledger as text, to go on from later."""
        with self._lock:
            return json.dumps({path: [entry.version, entry.total, entry.seen] for path, entry in self._entries.items()})

    @classmethod
    def from_json(cls, text: str) -> ReadLedger:
        """The ledger that `to_json` wrote; ValueError if it is none."""
        ledger = cls()
        try:
            for path, (version, total, seen) in json.loads(text).items():
                lines = [(int(start), int(end)) for start, end in seen]
                ledger._entries[str(path)] = Entry(str(version), int(total), _joined(lines))
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"This is no saved ledger: {error}.") from error
        return ledger


def _joined(lines: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges sorted, without empty ones, and with those joined that touch."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(lines):
        if end < start:
            continue
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
