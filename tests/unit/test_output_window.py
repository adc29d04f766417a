"""A part of a file is shown with its line numbers, with what is unusual about it, and with how to go on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_tools_server.output import READ_CHARS, fitting, number_lines, render_window
from sandbox_tools_server.wire import TextWindow


def window(lines: list[str], **fields: Any) -> TextWindow:
    """An ordinary file that is shown whole, but for what the fields say."""
    ordinary = {"path": "/f", "version": "v", "size": 1, "first": 1, "total_lines": len(lines)}
    facts = {"line_ends": "lf", "bom": False, "utf8": True, "final_newline": True}
    return TextWindow(lines=lines, **{**ordinary, **facts, **fields})


def test_an_ordinary_file_is_its_numbered_lines_and_nothing_else() -> None:
    """Every notice costs the reader attention, so a whole and ordinary file has none."""
    assert render_window(window(["one", "two"])) == "     1\tone\n     2\ttwo"


def test_what_is_unusual_about_a_file_is_said_once() -> None:
    """An edit that does not know of these breaks the file or fails to match."""
    shown = render_window(window(["one"], bom=True, line_ends="crlf", final_newline=False))
    assert shown == "     1\tone\n[UTF-8 BOM, CRLF line ends, no newline at the end of the file]"
    assert render_window(window(["a"], line_ends="mixed")).endswith("\n[mixed line ends (LF and CRLF)]")
    assert render_window(window(["a"], utf8=False)).endswith(
        "\n[not UTF-8: bytes that do not decode are shown as U+FFFD]"
    )


def test_a_window_that_ends_early_says_how_to_go_on() -> None:
    """The reader should ask for exactly the next lines, not guess."""
    shown = render_window(window(["a", "b"], first=3, total_lines=9, next_offset=5, final_newline=False))
    assert shown.splitlines()[-1] == "[lines 3 to 4 of 9; go on with offset=5]"
    assert "no newline" not in shown


def test_a_window_that_starts_late_says_where_it_stands() -> None:
    """Lines from the middle on must not be taken for the whole file."""
    shown = render_window(window(["a", "b"], first=8, total_lines=9, final_newline=False))
    assert shown == "     8\ta\n     9\tb\n[no newline at the end of the file]\n[lines 8 to 9 of 9]"


def test_an_empty_file_says_that_it_is_empty() -> None:
    """An empty answer looks like a failed one."""
    assert render_window(window([], line_ends="none", final_newline=False)) == "[the file is empty]"
    assert render_window(window([], line_ends="none", bom=True)) == "[the file is empty]\n[UTF-8 BOM]"


def test_lines_that_do_not_fit_are_left_for_the_next_window() -> None:
    """Whatever a server sends, the answer stays within its limit and stays true about where it stops."""
    shown = render_window(window(["x" * 10_000] * 20, final_newline=False))
    assert shown.splitlines()[-1] == "[lines 1 to 12 of 20; go on with offset=13]"
    assert shown.splitlines()[0].endswith("… [line of 10,000 characters, cut]")
    assert "no newline" not in shown


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["", "x", "x" * 99, "x" * 4_000, "x" * 5_000]), max_size=30),
    st.integers(1, 400),
    st.integers(1, 10**9),
    st.sampled_from(["lf", "crlf", "mixed"]),
    st.booleans(),
)
def test_the_limit_holds_with_every_notice_in_it(
    lines: list[str], times: int, first: int, line_ends: str, usual: bool
) -> None:
    """A framework with a limit of its own would cut off the line that says how to go on."""
    fields = {"bom": not usual, "utf8": usual, "final_newline": usual, "line_ends": line_ends}
    many = lines * times
    assert len(render_window(window(many, first=first, total_lines=first + len(many), **fields))) <= READ_CHARS


@pytest.mark.parametrize(("lines", "count"), [([], 0), (["x"] * 100, 100), (["x" * 4_000] * 100, 12)])
def test_who_makes_a_window_can_ask_how_many_lines_fit(lines: list[str], count: int) -> None:
    """A server that sends no more than is shown can say itself where the next window starts."""
    assert fitting(lines, 1) == count
    assert len(number_lines(lines[:count], 1)) <= READ_CHARS
