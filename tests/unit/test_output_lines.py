"""Lines are numbered and cut the same way wherever they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sandbox_tools_server.output as output
from sandbox_tools_server.output import LINE_LIMIT, cut_line, number_lines


def test_a_line_at_the_limit_is_left_alone() -> None:
    """A mark on a line that is whole would send the reader looking for text that does not exist."""
    line = "x" * LINE_LIMIT
    assert cut_line(line) == line


def test_a_line_over_the_limit_says_how_long_it_is() -> None:
    """The reader has to know that there is more, and how much."""
    cut = cut_line("x" * 1_234_567)
    assert cut.endswith("x… [line of 1,234,567 characters, cut]")
    assert len(cut) == LINE_LIMIT


def test_the_beginning_of_a_line_is_marked_with_the_length_of_all_of_it() -> None:
    """Who reads a file in pieces never holds a huge line, and the mark must be true all the same."""
    assert cut_line("x" * 5_000, 9_000_000).endswith("[line of 9,000,000 characters, cut]")
    assert cut_line("abc", 5_000) == "abc… [line of 5,000 characters, cut]"


@given(st.text(max_size=50), st.integers(1, 300), st.integers(0, 10_000_000))
def test_no_cut_line_is_over_the_limit(piece: str, times: int, more: int) -> None:
    """Everything else adds up what lines may take and relies on this."""
    line = piece * times
    assert len(cut_line(line, len(line) + more)) <= LINE_LIMIT


def test_lines_are_numbered_as_by_cat() -> None:
    """Models know this form from their training and cite line numbers out of it."""
    assert number_lines(["one", "", "three"], 9) == "     9\tone\n    10\t\n    11\tthree"


@pytest.mark.parametrize("name", output.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """A name that is listed but missing breaks a star import and misleads the reader."""
    assert hasattr(output, name)
