"""Terminal control sequences (ECMA-48) taken out of text that arrives in pieces.

Only whole, well-formed sequences go. One that breaks off, never ends or grows past `STRING_LIMIT` loses the characters
that introduce it and is shown otherwise, so that it never swallows the text after it.
"""

from __future__ import annotations

import re

STRING_LIMIT = 4_096
"""How many characters a control string, such as a title or a link, may have."""

ERASE_END, ERASE_LINE = "\x02", "\x03"
"""What "erase to the end of the line" and "erase the line" become: filtered text has no other such characters."""

_KEPT = {
    **dict.fromkeys(["\x1b[K", "\x1b[0K", "\x9bK", "\x9b0K"], ERASE_END),
    **dict.fromkeys(["\x1b[2K", "\x9b2K"], ERASE_LINE),
    **dict.fromkeys(["\x1b[G", "\x1b[1G", "\x9bG", "\x9b1G"], "\r"),
}

_CSI = r"(?:\x1b\[|\x9b) [0-?]{0,256}+ [ -/]{0,16}+"
_OSC = rf"(?:\x1b\]|\x9d) [^\x07\x1b\n\x80-\x9f]{{0,{STRING_LIMIT}}}+"
_STRING = rf"(?:\x1b[PX^_]|[\x90\x98\x9e\x9f]) [^\x1b\n\x80-\x9f]{{0,{STRING_LIMIT}}}+"

_WHOLE = rf"""
    {_CSI} [@-~]
  | {_OSC} (?:\x07|\x1b\\|\x9c)
  | {_STRING} (?:\x1b\\|\x9c)
  | \x1b [ -/]{{1,16}}+ [0-~]              # charset shifts and their like
  | \x1b [0-OQ-WYZ\\`-~]                   # two characters
"""
_BEGUN = rf"(?P<begun> (?: {_CSI} | {_OSC} \x1b? | {_STRING} \x1b? | \x1b [ -/]{{0,16}}+ ) \Z )"
_BROKEN = r"\x1b [PX^_\[\]]? | [\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]+ | [\x80-\x9f]"

_CONTROL = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_WITHIN = re.compile(f"{_WHOLE} | {_BEGUN} | {_BROKEN}", re.VERBOSE)
_AT_END = re.compile(_BROKEN, re.VERBOSE)


class EscapeFilter:
    """Leaves text, tabs, line ends, carriage returns, backspaces and the two marks of erasing."""

    def __init__(self) -> None:
        self.begun = ""

    def decode(self, text: str) -> str:
        """Filter the next piece; a sequence that has only begun is held back, as `begun`."""
        text, self.begun = self.begun + text, ""
        if not _CONTROL.search(text):
            return text
        return _WITHIN.sub(self._replace, text)

    def flush(self) -> str:
        """Give up the sequence that has only begun."""
        text, self.begun = self.begun, ""
        return _AT_END.sub("", text)

    def _replace(self, match: re.Match[str]) -> str:
        if match["begun"] is None:
            return _KEPT.get(match[0], "")
        self.begun = match[0]
        return ""
