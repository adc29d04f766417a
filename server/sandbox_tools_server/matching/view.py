"""A text with newlines alone, and the way back to the bytes that it was made of."""

from __future__ import annotations

import codecs
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

STEP = 256
"""How many bytes of a content lie between two places that are known in its view."""


@dataclass(frozen=True, slots=True)
class Splice:
    """The bytes from `start` to `stop` become `text`."""

    start: int
    stop: int
    text: bytes


def apply(content: bytes, splices: Sequence[Splice]) -> bytes:
    """Write what was found; the splices are in order and do not overlap."""
    rest = memoryview(content)  # its slices are no copies
    pieces: list[bytes | memoryview] = []
    end = 0
    for splice in splices:
        pieces += [rest[end : splice.start], splice.text]
        end = splice.stop
    return b"".join([*pieces, rest[end:]])


class View:
    """A content without its byte order mark and with newlines alone, and the way back.

    The way back is a few numbers per kilobyte, however short the lines are: where every so many bytes of the content
    are in the view. What lies between two of them is counted when it is asked for.
    """

    def __init__(self, content: bytes) -> None:
        base = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0
        self._content = content
        self.text = content[base:].replace(b"\r\n", b"\n")
        self._base = base
        returns = len(content) - base - len(self.text)
        self._uniform = b"\r\n" if returns else b"\n"
        self._mixed = 0 < returns < self.text.count(b"\n")
        self._places = _places(content, base) if returns else None
        self._line = (0, -1, self._uniform)
        self._ended: dict[tuple[bytes, bytes], bytes] = {}

    def splice(self, hit: int, change: Splice) -> Splice:
        """Lead a change of the view back to the content, with the line ends of the line that the match begins in."""
        end = self._line_end(self._offset(hit)) if self._mixed else self._uniform
        return Splice(self._offset(change.start), self._offset(change.stop), self._with_ends(change.text, end))

    def _offset(self, place: int) -> int:
        """Find a place of the view in the content: each carriage return before it counts again."""
        if self._places is None:
            return self._base + place
        known = max(bisect_left(self._places, place) - 1, 0)
        start = self._base + known * STEP
        least = start + place - self._places[known]
        offset, before = least, -1
        while offset != before:  # it moves past the carriage returns that it moved past
            before, offset = offset, least + self._content.count(b"\r\n", start, offset + 1)
        return offset

    def _line_end(self, offset: int) -> bytes:
        """How the line at an offset ends; one that has no end is like the line above. The last answer is kept."""
        if not self._line[0] <= offset <= self._line[1]:
            newline = self._content.find(b"\n", offset)
            stop = newline if newline >= 0 else len(self._content)
            if newline < 0:
                newline = self._content.rfind(b"\n", 0, offset)
            returned = newline > 0 and self._content[newline - 1] == ord("\r")
            self._line = (offset, stop, b"\r\n" if returned else b"\n")
        return self._line[2]

    def _with_ends(self, text: bytes, end: bytes) -> bytes:
        """Give text its line ends; the same text is made once, in however many places it is written."""
        if (text, end) not in self._ended:
            self._ended[text, end] = text.replace(b"\n", end)
        return self._ended[text, end]


def _places(content: bytes, base: int) -> array[int]:
    """Say where in the view every `STEP` bytes of the content are: without the carriage returns before them."""
    places, place = array("Q"), 0
    for start in range(base, len(content), STEP):
        places.append(place)
        stop = min(start + STEP, len(content))
        place += stop - start - content.count(b"\r\n", start, stop + 1)
    return places
