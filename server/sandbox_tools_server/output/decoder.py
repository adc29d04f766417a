"""Bytes that a command printed, as the text a reader is to see."""

from __future__ import annotations

import codecs

from .escapes import ERASE_END, ERASE_LINE, STRING_LIMIT, EscapeFilter
from .redraw import RedrawnLine

LONGEST = 4 * (STRING_LIMIT + 4)
"""No control sequence is longer, in bytes."""

_MARKS = str.maketrans("", "", ERASE_END + ERASE_LINE)


class LiveText:
    """Decodes output piece by piece for someone who watches: nothing waits for the end of its line.

    Bytes that are not UTF-8 become U+FFFD and terminal control sequences go; carriage returns and backspaces stay.
    """

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._escapes = EscapeFilter()

    def decode(self, data: bytes) -> str:
        """Take the next bytes; only a character or a control sequence that has just begun is held back."""
        return self._escapes.decode(self._utf8.decode(data)).translate(_MARKS)

    def flush(self) -> str:
        """Return what is still held, as if the output ended here."""
        text = self._escapes.decode(self._utf8.decode(b"", final=True)) + self._escapes.flush()
        return text.translate(_MARKS)


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


def settled(data: bytes) -> int:
    """Count the bytes before the character or control sequence that has only begun at their end, if there is one."""
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    escapes = EscapeFilter()
    escapes.decode(utf8.decode(data[-LONGEST:]))
    end = len(data) - len(utf8.getstate()[0])
    if not escapes.begun:
        return end
    introducer = escapes.begun[0]
    terminates = len(escapes.begun) > 1 and escapes.begun.endswith("\x1b")
    return data.rindex(introducer.encode(), 0, end - terminates)
