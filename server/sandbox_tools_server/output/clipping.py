"""The beginning and the end of a long text, and what to say about the middle."""

from __future__ import annotations

from .lines import LINE_LIMIT, OUTPUT_LIMIT, counted, cut_line

REACH = 1_000
"""How far from where a text is cut a line end is looked for."""

ELSEWHERE = "To see them, run it again with its output sent to a file, or filter it with grep, head or tail."


def clip(text: str, *, limit: int = OUTPUT_LIMIT, dropped: int = 0, where: str = "") -> str:
    """Show a text in at most `limit` characters: a quarter from its beginning, the rest from its end.

    Arguments:
        dropped: how many bytes are missing at the end of the text already.
        where: a sentence that says how to see what is left out.
    """
    clipping = Clipping(limit)
    clipping.add(text)
    clipping.drop(dropped)
    return clipping.render(limit, where)


class Clipping:
    """Collects a text of any length, keeps its two ends, and renders them as `clip` does.

    Arguments:
        keep: how many characters of either end to keep, which is the highest limit it can render with.
    """

    def __init__(self, keep: int = OUTPUT_LIMIT) -> None:
        self._keep = max(keep, 1)
        self._line = ""  # the beginning of the line that has not ended
        self._line_length = 0
        self._first = ""
        self._last: list[str] = []
        self._last_size = 0
        self._size = 0
        self._ends_line = True
        self._lines = 0
        self._bytes = 0
        self._dropped = 0
        self._skipped = 0
        self._whole = True
        self._remarks: list[str] = []

    def add(self, text: str) -> None:
        """Take the next piece of the text."""
        self._bytes += _bytes(text)
        ended, newline, rest = text.rpartition("\n")
        if newline:
            one, *others = ended.split("\n")
            self._extend_line(one)
            self._end_line("\n")
            if max(map(len, others), default=0) > LINE_LIMIT:
                self._whole = False
                others = list(map(cut_line, others))
            self._put("\n".join([*others, ""]))
        self._extend_line(rest)

    def drop(self, count: int) -> None:
        """Say on a line of its own that `count` bytes are missing here for ever."""
        if count > 0:
            self._dropped += count
            self._leave_out(f"{counted(count, 'byte')} dropped here: more was printed than is kept")

    def skip(self, count: int) -> None:
        """Say on a line of its own that `count` bytes are left out here, which can be seen elsewhere."""
        if count > 0:
            self._skipped += count
            self._leave_out(f"{counted(count, 'byte')} left out here")

    def render(self, limit: int = OUTPUT_LIMIT, where: str = "") -> str:
        """Show all that was added in at most `limit` characters."""
        self._end_line("")
        limit = min(limit, self._keep)
        hint = "" if self._whole or not 0 < len(where) <= limit // 2 else self._own_line(where)
        if self._size + len(hint) <= limit:
            return self._first + hint
        room = max(limit - len(self._notice(self._lines, self._bytes, where, limit)) - 1, 0)
        head = _beginning(self._first, room // 4)
        tail = _end(self._kept_end(), room - len(head))
        hidden = "".join(line for line in self._remarks if line not in head and line not in tail)  # no output
        lines = self._lines - sum(text.count("\n") for text in (head, tail, hidden))
        notice = self._notice(lines, self._bytes - sum(map(_bytes, (head, tail, hidden))), where, limit)
        return (head + ("\n" if head and not head.endswith("\n") else "") + notice + tail)[:limit]

    def _leave_out(self, remark: str) -> None:
        self._end_line("")
        self._whole = False
        line = self._own_line(remark)
        self._remarks.append(line)
        self.add(line)

    def _own_line(self, remark: str) -> str:
        return ("" if self._ends_line else "\n") + f"[{remark}]\n"

    def _extend_line(self, text: str) -> None:
        self._line += text[: LINE_LIMIT - len(self._line)]
        self._line_length += len(text)

    def _end_line(self, newline: str) -> None:
        self._whole = self._whole and self._line_length <= LINE_LIMIT
        self._put(cut_line(self._line, self._line_length) + newline)
        self._line, self._line_length = "", 0

    def _put(self, text: str) -> None:
        if not text:
            return
        self._size += len(text)
        self._lines += text.count("\n")
        self._ends_line = text.endswith("\n")
        room = self._keep - len(self._first)
        self._first += text[:room]
        self._last.append(text[room:])
        self._last_size += max(len(text) - room, 0)
        if self._last_size > 2 * self._keep:
            self._last = ["".join(self._last)[-self._keep :]]
            self._last_size = self._keep

    def _kept_end(self) -> str:
        last = "".join(self._last)
        whole = self._size == len(self._first) + len(last)
        return self._first + last if whole else last

    def _notice(self, lines: int, size: int, where: str, limit: int) -> str:
        """Say what is left out: `where` gives way if it would take most of the room."""
        omitted = counted(size + self._skipped, "byte")
        if lines:
            omitted = f"{'more than ' if self._skipped else ''}{counted(lines, 'line')} ({omitted})"
        lost = f"; {counted(self._dropped, 'byte')} of the output dropped in all" if self._dropped else ""
        remedy = where if where and len(where) <= limit // 2 else ELSEWHERE
        return f"[… {omitted} omitted{lost}. {remedy}]\n"


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _beginning(text: str, room: int) -> str:
    """Return at most `room` characters, up to a line end if one is near."""
    reach = min(REACH, room // 4)
    return text[: text.rfind("\n", room - reach, room) + 1 or room]


def _end(text: str, room: int) -> str:
    """Return the last `room` characters at most, from a line's start if one is near."""
    start = len(text) - room
    reach = min(REACH, room // 4)
    return text[text.find("\n", start - 1, start + reach) + 1 or start :]
