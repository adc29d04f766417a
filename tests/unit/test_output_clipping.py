"""A long text is shown in part, and the reader is told what is missing and how to see it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox_tools_server.output import LINE_LIMIT, OUTPUT_LIMIT, Clipping, LastLines, OutputText, clean, clip

TEXTS = st.lists(
    st.tuples(st.sampled_from(["a", "word ", "\n", "line\n", "x" * 990 + "\n", "é"]), st.integers(1, 900)), max_size=12
).map(lambda runs: "".join(piece * times for piece, times in runs))


@settings(deadline=None)
@given(TEXTS, st.integers(500, 6_000), st.integers(0, 10**12), st.text(max_size=600))
@example("x" * 100_000, 500, 10**12, "")
@example("\n" * 600, 500, 0, "y" * 250)
def test_the_limit_holds_with_every_notice_in_it(text: str, limit: int, dropped: int, where: str) -> None:
    """A framework with a limit of its own would cut the notice off, which is the one line that must arrive."""
    assert len(clip(text, limit=limit, dropped=dropped, where=where)) <= limit


@settings(deadline=None)
@given(TEXTS, st.integers(0, 500))
def test_even_a_limit_without_room_for_the_notice_holds(text: str, limit: int) -> None:
    """A setting that makes no sense must not make an answer of any size."""
    assert len(clip(text, limit=limit, dropped=7)) <= limit


def test_a_text_within_the_limit_is_left_alone() -> None:
    """Nothing is missing, so nothing is said."""
    text = "line\n" * 5_000
    assert len(text) == OUTPUT_LIMIT
    assert clip(text) == text
    assert clip("no newline") == "no newline"
    assert clip("") == ""


def test_the_middle_is_left_out_on_line_ends() -> None:
    """The beginning tells what ran, the end what came of it, and half a line misleads."""
    lines = [f"line {number}" for number in range(10_000)]
    before, notice, after = re.split(r"^(\[….*\]\n)", clip("\n".join(lines) + "\n"), flags=re.MULTILINE)
    head, tail = before.splitlines(), after.splitlines()
    assert head == lines[: len(head)]
    assert tail == lines[-len(tail) :]
    omitted = len(lines) - len(head) - len(tail)
    size = sum(len(line) + 1 for line in lines) - len(before) - len(after)
    assert notice.startswith(f"[… {omitted:,} lines ({size:,} bytes) omitted. To see them, run it again")
    assert 0.2 < len(before) / OUTPUT_LIMIT < 0.26
    assert 0.7 < len(after) / OUTPUT_LIMIT < 0.8


def test_the_notice_names_the_place_of_the_full_output() -> None:
    """The reader can go on at once instead of running the command again."""
    where = "The full output is in /tmp/o; read it with offset and limit."
    assert f" omitted. {where}]\n" in clip("line\n" * 9_000, where=where)


def test_a_place_that_would_fill_the_limit_is_not_named() -> None:
    """The output itself matters more than a path of a thousand characters."""
    shown = clip("line\n" * 900, limit=600, where="x" * 301)
    assert "run it again" in shown
    assert shown.endswith("line\n")


def test_what_is_left_out_is_counted_in_bytes() -> None:
    """They are what a file's size and a search in it go by, and not every character is one byte."""
    shown = clip("漢字\n" * 9_000)
    before, after = re.split(r"^\[….*\]\n", shown, flags=re.MULTILINE)
    left_out = 9_000 * 7 - len((before + after).encode())
    assert f" ({left_out:,} bytes) omitted. " in shown


def test_without_a_line_end_near_the_text_is_cut_inside_a_line() -> None:
    """Four thousand characters given up for the sake of a line end would be a poor trade."""
    shown = clip(("x" * 3_999 + "\n") * 2 + "y" * 3_000, limit=2_000)
    assert re.fullmatch(r"x+\n\[… 2 lines \([\d,]+ bytes\) omitted\. .*\]\ny+", shown)
    assert 1_990 < len(shown) <= 2_000


def test_a_cut_inside_one_line_speaks_of_bytes_alone() -> None:
    """No line is missing as a whole, so none is counted."""
    shown = clip("x" * 3_000, limit=1_000)
    assert re.search(r"x\n\[… 2,\d+ bytes omitted\. ", shown)


def test_long_lines_are_cut_before_anything_is_left_out() -> None:
    """One line of a minified file must not push out all the others."""
    shown = clip("first\n" + "x" * 1_000_000 + "\nlast\n")
    assert shown.startswith("first\nxxx")
    assert shown.endswith("… [line of 1,000,000 characters, cut]\nlast\n")
    assert len(shown) == len("first\n") + LINE_LIMIT + len("\nlast\n")


def test_the_place_of_the_full_output_is_named_whenever_something_is_not_shown() -> None:
    """A line that was cut is missing something as well, and the reader would not know where to look."""
    cut = "x" * 5_000
    assert clip(cut, where="It is in /tmp/o.").endswith(" characters, cut]\n[It is in /tmp/o.]\n")
    assert clip(f"{cut}\n", where="It is in /tmp/o.").endswith(" characters, cut]\n[It is in /tmp/o.]\n")
    assert clip(f"a\n{cut}\nb\n", where="It is in /tmp/o.").endswith("\nb\n[It is in /tmp/o.]\n")
    assert "It is in" not in clip("x\n" * 900, where="It is in /tmp/o.")
    assert "It is in" not in clip(cut)


def test_what_was_not_fetched_is_told_and_counted() -> None:
    """It can be seen elsewhere, so it is not lost; but nobody has counted its lines."""
    output = OutputText()
    output.feed(b"first\nhalf")
    output.skip(1_234)
    output.skip(0)
    output.feed(b"rest\nlast\n")
    expected = "first\nhalf\n[1,234 bytes left out here]\nrest\nlast\n"
    assert output.render() == expected
    assert output.render(where="It is in /tmp/o.") == f"{expected}[It is in /tmp/o.]\n"
    assert output.dropped == 0
    output.feed(b"line\n" * 9_000)
    shown = output.render(where="It is in /tmp/o.")
    omitted = re.search(
        r"^\[… more than [\d,]+ lines \(([\d,]+) bytes\) omitted\. It is in /tmp/o\.\]$", shown, re.MULTILINE
    )
    assert omitted
    before, _, after = re.split(r"^(\[….*\]\n)", shown, flags=re.MULTILINE)
    assert int(omitted[1].replace(",", "")) == 1_234 + len(expected) + 45_000 - len(before + after)


def test_bytes_that_were_dropped_are_always_told() -> None:
    """Text that looks whole and is not leads to wrong conclusions."""
    assert clip("a", dropped=1) == "a\n[1 byte dropped here: more was printed than is kept]\n"
    assert "; 5,000 bytes of the output dropped in all. " in clip("line\n" * 9_000, dropped=5_000)


OUTPUTS = st.lists(st.sampled_from([b"a", b"line\n", b"\r", b"\xe2\x82", b"x" * 5_000, b"1\n" * 3_000]), max_size=30)


@settings(deadline=None)
@given(OUTPUTS, st.integers(500, 4_000))
def test_output_in_pieces_is_shown_like_output_in_one_piece(parts: list[bytes], limit: int) -> None:
    """What the model reads must not depend on how the network cut the stream."""
    output = OutputText()
    for part in parts:
        output.feed(part)
    assert output.render(limit) == clip(clean(b"".join(parts)), limit=limit)


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"line\n", b"half", b"1\n" * 3_000]) | st.integers(-1, 10**9), max_size=60))
@example([1] * 60)
def test_the_limit_holds_and_every_lost_byte_is_counted_whatever_the_gaps(events: list[bytes | int]) -> None:
    """A slow reader may meet many gaps, and each costs text that the answer must own up to."""
    output, lost = OutputText(), 0
    for event in events:
        if isinstance(event, bytes):
            output.feed(event)
        else:
            output.gap(event)
            lost += max(event, 0)
    shown = output.render(1_000, where="See /tmp/o.")
    assert len(shown) <= 1_000
    assert output.dropped == lost
    if "omitted" in shown:
        assert (f"; {lost:,} byte" in shown) == (lost > 0)
    else:
        assert sum(int(count.replace(",", "")) for count in re.findall(r"\[([\d,]+) byte", shown)) == lost


def test_a_gap_ends_the_line_before_it_and_starts_the_next_afresh() -> None:
    """Halves of two different lines put together would be a line that nobody printed."""
    output = OutputText()
    output.feed(b"one\nhalf \xe2\x82")
    output.gap(1_234)
    output.feed(b"\xacrest\n")
    assert output.render() == (
        "one\nhalf \ufffd\n[1,234 bytes dropped here: more was printed than is kept]\n\ufffdrest\n"
    )


def test_rendering_twice_shows_the_same() -> None:
    """A renderer that uses up what it renders is a trap."""
    output = OutputText()
    output.feed(b"one\ntwo")
    assert output.render() == output.render() == "one\ntwo"
    output.gap(2)
    assert output.render() == "one\ntwo\n[2 bytes dropped here: more was printed than is kept]\n"


def test_a_limit_above_what_is_kept_counts_as_what_is_kept() -> None:
    """What was not kept cannot be shown, whatever is asked for."""
    clipping = Clipping(keep=1_000)
    clipping.add("line\n" * 1_000)
    assert len(clipping.render(100_000)) <= 1_000


LINES = st.lists(st.sampled_from([b"one\n", b"two", b"\r\n", b"\xe2\x82", b"\xac", b"\n", b"x" * 900]), max_size=12)


@settings(deadline=None)
@given(LINES, st.integers(1, 5))
def test_the_last_lines_are_those_of_the_whole(parts: list[bytes], count: int) -> None:
    """Who asks for the end of a log wants what `tail` would show."""
    last = LastLines(count)
    for part in parts:
        last.feed(part)
    whole = clean(b"".join(parts))
    assert last.render(5_000) == clip("".join(whole.splitlines(keepends=True)[-count:]), limit=5_000)


def test_the_last_lines_begin_with_a_whole_one() -> None:
    """What was not fetched may end anywhere, and half a line misleads."""
    last = LastLines(5)
    last.feed(b"before\nhalf")
    last.skip(1_000)
    last.feed(b" of a line\none\ntwo")
    assert last.render() == "one\ntwo"
    last.gap(1_000)
    last.feed(b"no line end")
    assert last.render() == "no line end"


@pytest.mark.parametrize("size", [1, 1_000, 10_000_000])
def test_a_long_text_is_collected_in_bounded_memory(size: int) -> None:
    """A command may print for an hour; its collector holds the two ends of that."""
    clipping = Clipping()
    for start in range(0, 10_000_000, size) if size > 1 else range(200_000):
        clipping.add(f"{start}" + "x" * (size - 1) + ("\n" if start % 3 else ""))
    held = sum(
        len(value) if isinstance(value, str) else sum(map(len, value))
        for value in vars(clipping).values()
        if isinstance(value, str | list)
    )
    assert held < 5 * OUTPUT_LIMIT
