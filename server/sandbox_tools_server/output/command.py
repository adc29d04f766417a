"""What a command printed and how it ended, for a reader."""

from __future__ import annotations

from .clipping import Clipping, clip
from .decoder import TextDecoder
from .lines import OUTPUT_LIMIT

SIGNALS = (
    *("SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1"),
    *("SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP"),
    *("SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR"),
    "SIGSYS",
)
"""The signals of Linux from 1 on: they are the sandbox's, whatever system this runs on."""

SIGKILL = 9


class OutputText:
    """Collects a command's output in bounded memory: feed all of it, tell of the gaps, then render.

    Arguments:
        keep: the highest limit that it will be rendered with.
    """

    def __init__(self, keep: int = OUTPUT_LIMIT) -> None:
        self._decoder = TextDecoder()
        self._clipping = Clipping(keep)
        self.dropped = 0
        """How many bytes are lost."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes that were printed."""
        self._clipping.add(self._decoder.decode(data))

    def gap(self, count: int) -> None:
        """Go past `count` bytes that are lost: what comes next starts on a line of its own."""
        self._clipping.add(self._decoder.flush())
        self._clipping.drop(count)
        self.dropped += max(count, 0)

    def skip(self, count: int) -> None:
        """Go past `count` bytes that were not fetched but can be seen elsewhere."""
        self._clipping.add(self._decoder.flush())
        self._clipping.skip(count)

    def render(self, limit: int = OUTPUT_LIMIT, *, where: str = "") -> str:
        """Show the output in at most `limit` characters.

        Arguments:
            where: a sentence that says how to see what is left out.
        """
        self._clipping.add(self._decoder.flush())
        return self._clipping.render(limit, where)


class LastLines:
    """Collects a command's output like `OutputText`, to show its last lines. It holds all that it is fed.

    Arguments:
        count: how many lines to show.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._decoder = TextDecoder()
        self._text = ""
        self._begins_inside = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes that were printed."""
        self._text += self._decoder.decode(data)

    def gap(self, count: int) -> None:
        """Go past `count` bytes that are lost: what came before them is not shown."""
        self._decoder.flush()
        self._text = ""
        self._begins_inside = True

    skip = gap

    def render(self, limit: int = OUTPUT_LIMIT, *, where: str = "") -> str:
        """Show the last lines in at most `limit` characters; see `OutputText.render`."""
        self._text += self._decoder.flush()
        text = self._text
        if self._begins_inside:
            text = text.partition("\n")[2] or text
        end = "\n" if text.endswith("\n") else ""
        lines = text.removesuffix("\n").split("\n")
        return clip("\n".join(lines[-self._count :]) + end, limit=limit, where=where)


def describe_end(code: int | None, signal: int | None, timed_out: bool, killed: bool, duration: float) -> str:
    """Say in one phrase how a command ended and after how long."""
    seconds = f"{duration:.1f} s" if duration < 100 else f"{duration:.0f} s"
    if timed_out:
        return f"timed out after {seconds} and was ended"
    if killed:
        return f"ended on request after {seconds}"
    memory = " (out of memory?)" if signal == SIGKILL or code == 128 + SIGKILL else ""
    if signal is not None:
        return f"ended by {_signal_name(signal)} after {seconds}{memory}"
    ending = "ended" if code is None else f"exit code {code}"
    return f"{ending} after {seconds}{memory}"


def _signal_name(signal: int) -> str:
    return SIGNALS[signal - 1] if 0 < signal <= len(SIGNALS) else f"signal {signal}"
