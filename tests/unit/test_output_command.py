"""The last line of a command's answer says how it ended."""

from __future__ import annotations

import pytest

from sandbox_tools_server.output import describe_end


@pytest.mark.parametrize(
    ("code", "signal", "timed_out", "killed", "duration", "phrase"),
    [
        (0, None, False, False, 0.04, "exit code 0 after 0.0 s"),
        (3, None, False, False, 0.2, "exit code 3 after 0.2 s"),
        (137, None, False, False, 3.1, "exit code 137 after 3.1 s (out of memory?)"),
        (None, 9, False, False, 3.1, "ended by SIGKILL after 3.1 s (out of memory?)"),
        (None, 11, False, False, 61.25, "ended by SIGSEGV after 61.2 s"),
        (None, 31, False, False, 1, "ended by SIGSYS after 1.0 s"),
        (None, 34, False, False, 1, "ended by signal 34 after 1.0 s"),
        (None, 0, False, False, 1, "ended by signal 0 after 1.0 s"),
        (None, 15, True, False, 240.3, "timed out after 240 s and was ended"),
        (None, 9, False, True, 2.0, "ended on request after 2.0 s"),
        (None, None, False, False, 1, "ended after 1.0 s"),
    ],
)
def test_an_end_is_told_in_one_phrase(
    code: int | None, signal: int | None, timed_out: bool, killed: bool, duration: float, phrase: str
) -> None:
    """The reader decides by it what to do next, so it names the cause and not only a number."""
    assert describe_end(code, signal, timed_out, killed, duration) == phrase
