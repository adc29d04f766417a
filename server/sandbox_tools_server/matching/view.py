"""A text with newlines alone, and the way back to the bytes that it was made of."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True)
class Splice:
    """The bytes from `start` to `stop` become `text`."""

    start: int
    stop: int
    text: bytes


def apply(content: bytes, splices: Sequence[Splice]) -> bytes:
    """Write what was found; the splices are in order and do not overlap."""
    pieces: list[bytes] = []
    end = 0
    for splice in splices:
        pieces += [content[end : splice.start], splice.text]
        end = splice.stop
    return b"".join([*pieces, content[end:]])


def shared_ends(one: Sequence[object], other: Sequence[object]) -> tuple[int, int]:
    """Count what both begin with, and what both end with besides."""
    head = _shared(one, other)
    return head, _shared(one[head:][::-1], other[head:][::-1])


class View:
    """A content without its byte order mark and with newlines alone, and the way back."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._base = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0
        body = content[self._base :]
        self.text = body.replace(b"\r\n", b"\n")
        self._returns = [found.start() - count for count, found in enumerate(re.finditer(rb"\r\n", body))]
        self._mixed = 0 < len(self._returns) < body.count(b"\n")

    def splice(self, hit: int, change: Splice) -> Splice:
        """Lead a change of the view back to the content, with the line ends of the line that the match begins in."""
        text = change.text.replace(b"\n", self._line_end(self._offset(hit)))
        return Splice(self._offset(change.start), self._offset(change.stop), text)

    def _offset(self, place: int) -> int:
        """Find a place of the view in the content: each carriage return before it counts again."""
        return self._base + place + bisect_left(self._returns, place)

    def _line_end(self, offset: int) -> bytes:
        """How the line at an offset ends; one that has no end is like the line above."""
        if not self._mixed:
            return b"\r\n" if self._returns else b"\n"
        newline = self._content.find(b"\n", offset)
        if newline < 0:
            newline = self._content.rfind(b"\n", 0, offset)
        return b"\r\n" if newline > 0 and self._content[newline - 1] == ord("\r") else b"\n"


def _shared(one: Sequence[object], other: Sequence[object]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
