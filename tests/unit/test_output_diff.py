"""A diff shows what changed, under the numbers that the lines have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox_tools_server.output import join_hunks, numbered_diff

LINES = st.lists(st.sampled_from(["a", "b", "", "  c"]), max_size=12)


def test_a_change_is_shown_between_its_neighbours() -> None:
    """The reader checks the place by the lines around it and the numbers by the file as it is now."""
    assert numbered_diff(["old"], ["new", "more"], first=11, above=["up"], below=["down"]) == [
        "     10  up",
        "     11 - old",
        "     11 + new",
        "     12 + more",
        "     13  down",
    ]


def test_lines_that_both_sides_share_at_their_ends_are_context() -> None:
    """An edit repeats lines to be found by them; they did not change and must not look as if they had."""
    assert numbered_diff(["a", "x", "z"], ["a", "y", "z"], first=1) == [
        "      1  a",
        "      2 - x",
        "      2 + y",
        "      3  z",
    ]


def test_repeated_lines_are_not_counted_at_both_ends() -> None:
    """Where one of several equal lines is added, counting the same one twice would lose it from the diff."""
    assert numbered_diff(["a", "a"], ["a", "a", "a"], first=1) == ["      1  a", "      2  a", "      3 + a"]


def test_only_the_nearest_context_is_shown() -> None:
    """A long anchor would otherwise fill the answer with lines that did not change."""
    many = [str(number) for number in range(1, 10)]
    shown = numbered_diff([*many, "x", *many], [*many, *many], first=1, context=2)
    assert shown == ["      8  8", "      9  9", "     10 - x", "     10  1", "     11  2"]
    assert numbered_diff(["x"], [], first=2, above=["a"], below=["b"], context=0) == ["      2 - x"]


def test_lines_added_further_up_shift_the_new_numbers_only() -> None:
    """Removed lines are found in the old file, all others in the new one."""
    assert numbered_diff(["x"], ["y"], first=5, above=["a"], below=["b"], shift=3) == [
        "      7  a",
        "      5 - x",
        "      8 + y",
        "      9  b",
    ]


def test_a_long_line_is_cut_at_two_hundred_characters() -> None:
    """One minified line must not fill the answer to an edit."""
    (line,) = numbered_diff([], ["x" * 1_000], first=1)
    mark = "… [line of 1,000 characters, cut]"
    assert line == "      1 + " + "x" * (200 - len(mark)) + mark


def test_a_long_diff_says_how_much_of_it_is_missing() -> None:
    """The reader must know that the change goes on."""
    shown = numbered_diff([], [str(number) for number in range(100)], first=1)
    assert len(shown) == 60
    assert shown[-1] == "[… 41 more lines]"


def test_hunks_are_set_apart_and_share_the_limit() -> None:
    """Ten places changed at once get one diff of a known size, and separators are not counted as lines of it."""
    hunks = [numbered_diff(["x"], ["y"], first=place, limit=None) for place in (1, 11, 21)]
    assert join_hunks(hunks[:2]) == ["      1 - x", "      1 + y", "[…]", "     11 - x", "     11 + y"]
    assert join_hunks(hunks, limit=5) == ["      1 - x", "      1 + y", "[…]", "     11 - x", "[… 3 more lines]"]
    assert join_hunks(hunks, limit=7)[-1] == "[… 2 more lines]"
    assert join_hunks([]) == []


def test_one_missing_line_is_not_called_lines() -> None:
    """What we say should read well."""
    assert numbered_diff(["a", "b", "c"], [], first=1, limit=1) == ["[… 3 more lines]"]
    assert join_hunks([["      1 - a"], ["      5 - b"]], limit=2) == ["      1 - a", "[… 1 more line]"]


@given(LINES, LINES, st.integers(0, 4))
def test_the_new_lines_can_be_read_off_the_diff(before: list[str], after: list[str], context: int) -> None:
    """Whatever the diff shows as context or added stands in the new file under that very number."""
    for line in numbered_diff(before, after, first=1, context=context, limit=None):
        number, mark, text = int(line[:7]), line[7:10], line[7:].removeprefix("  ")
        if mark == " - ":
            assert before[number - 1] == line[10:]
        else:
            assert after[number - 1] == (line[10:] if mark == " + " else text)
