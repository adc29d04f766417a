"""Bytes that a command printed, as the text a reader is to see."""

from __future__ import annotations

import codecs

from .escapes import EscapeFilter
from .redraw import RedrawnLine


class TextDecoder:
    """Decodes output piece by piece; however it is split, the text is the same.

    Bytes that are not UTF-8 become U+FFFD, terminal control sequences go, and a line that was redrawn is shown as it
    was last. A line is held until it ends or has grown long, so `decode` may return nothing for a while.
    """

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._escapes = EscapeFilter()
        self._line = RedrawnLine()

    def decode(self, data: bytes) -> str:
        """Take the next bytes; return the text that has become final."""
        return self._line.decode(self._escapes.decode(self._utf8.decode(data)))

    def flush(self) -> str:
        """Return what is still held, as if the output ended here. What is decoded next starts afresh."""
        text = self._escapes.decode(self._utf8.decode(b"", final=True)) + self._escapes.flush()
        return self._line.decode(text) + self._line.flush()


def clean(data: bytes) -> str:
    """Decode all of an output at once."""
    decoder = TextDecoder()
    return decoder.decode(data) + decoder.flush()
