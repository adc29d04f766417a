"""What is to be known of a text: its lines, how they end, and how it is encoded."""

from __future__ import annotations

import codecs

from sandbox_tools_server.wire import LineEnds


class TextFacts:
    """Counts lines and checks the encoding of a text that comes in pieces.

    Lines end at `\\n` or `\\r\\n` only; a byte order mark at the beginning belongs to no line.
    """

    def __init__(self) -> None:
        self.size = 0
        self.newlines = 0
        self._crlf = 0
        self._first = b""
        self._last = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._decodes = True

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        self.size += len(chunk)
        self.newlines += chunk.count(b"\n")
        self._crlf += chunk.count(b"\r\n") + (self._last == b"\r" and chunk.startswith(b"\n"))
        self._first += chunk[: len(codecs.BOM_UTF8) - len(self._first)]
        self._last = chunk[-1:] or self._last
        self._decodes = self._decodes and self._decode(chunk)

    @property
    def bom(self) -> bool:
        """Whether it begins with a UTF-8 byte order mark."""
        return self._first == codecs.BOM_UTF8

    @property
    def final_newline(self) -> bool:
        """Whether its last line has an end."""
        return self._last == b"\n"

    @property
    def lines(self) -> int:
        """How many lines there are, the last one included if it has no end."""
        rest = self.size > len(codecs.BOM_UTF8) * self.bom and not self.final_newline
        return self.newlines + rest

    @property
    def line_ends(self) -> LineEnds:
        """How its lines end."""
        if not self.newlines:
            return "none"
        if self._crlf in (0, self.newlines):
            return "crlf" if self._crlf else "lf"
        return "mixed"

    def is_utf8(self) -> bool:
        """Whether all of it is UTF-8; to be asked at its end."""
        self._decodes = self._decodes and self._decode(b"", final=True)
        return self._decodes

    def _decode(self, chunk: bytes, *, final: bool = False) -> bool:
        try:
            self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            return False
        return True
