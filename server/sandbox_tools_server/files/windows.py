"""Some lines out of a text that comes in pieces, in the memory of those lines."""

from __future__ import annotations

import codecs

from sandbox_tools_server.output import LINE_LIMIT, READ_NOTES, cut_line, number_lines


class Window:
    """Collects lines from `first` on until it is full.

    Arguments:
        first: the number of the first line to collect, from 1.
        limit: how many lines to collect; None for all.
        max_chars: how many characters the lines may have once they are numbered and something is said about them;
            None for any number. One line is collected in any case.
    """

    def __init__(self, first: int, limit: int | None, max_chars: int | None) -> None:
        self.first = first
        self.lines: list[str] = []
        self.cut: list[int] = []
        self._limit = limit
        self._room = None if max_chars is None else max_chars - READ_NOTES
        self._skip = first - 1
        self._line = _Line()
        self._full = False

    @property
    def following(self) -> int:
        """The number of the line after the last one that was collected."""
        return self.first + len(self.lines)

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the text."""
        start = self._skipped(chunk)
        while not self._full and start < len(chunk):
            end = chunk.find(b"\n", start)
            if end < 0:
                self._line.feed(chunk[start:])
                return
            if self._line.begun or end - start > LINE_LIMIT:
                self._line.feed(chunk[start:end])
                self._collect(*self._line.end(newline=True))
            else:  # the usual line: here from end to end, and not long
                line = chunk[start:end].decode(errors="replace").removesuffix("\r")
                self._collect(line, len(line))
            start = end + 1

    def flush(self) -> None:
        """Take the last line, if the text does not end in a newline."""
        if self._line.begun and not self._full:
            self._collect(*self._line.end(newline=False))

    def _skipped(self, chunk: bytes) -> int:
        """Skip the lines above the window and say where the rest of the piece begins."""
        newlines = chunk.count(b"\n") if self._skip else 0
        if newlines < self._skip:
            self._skip -= newlines
            return len(chunk)
        start, self._skip = _after_newlines(chunk, self._skip), 0
        return start

    def _collect(self, line: str, length: int) -> None:
        shown = cut_line(line, length)
        size = len(number_lines([shown], self.following)) + 1
        if self.lines and self._room is not None and size > self._room:
            self._full = True
            return
        if length > LINE_LIMIT:
            self.cut.append(self.following)
        self.lines.append(shown)
        self._room = None if self._room is None else self._room - size
        self._full = len(self.lines) == self._limit


class _Line:
    """A line that comes in pieces: its beginning, and how many characters it has."""

    def __init__(self) -> None:
        self.begun = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._start()

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        self._add(self._decoder.decode(piece))
        self.begun = self.begun or bool(piece)

    def end(self, *, newline: bool) -> tuple[str, int]:
        """Give the beginning and the length, and start over; a newline takes the carriage return before it along."""
        self._add(self._decoder.decode(b"", True))
        length = self._length - (newline and self._last == "\r")
        text = self._text[:length]
        self._decoder.reset()
        self._start()
        return text, length

    def _start(self) -> None:
        self.begun = False
        self._text = self._last = ""
        self._length = 0

    def _add(self, text: str) -> None:
        self._text += text[: LINE_LIMIT + 1 - len(self._text)]
        self._last = text[-1:] or self._last
        self._length += len(text)


def _after_newlines(chunk: bytes, count: int) -> int:
    """Find where the line after so many newlines begins."""
    low, high = 0, len(chunk)
    while count and high - low > 1:
        middle = (low + high) // 2
        newlines = chunk.count(b"\n", low, middle)
        if newlines < count:
            low, count = middle, count - newlines
        else:
            high = middle
    return high if count else 0
