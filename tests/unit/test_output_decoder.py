"""Bytes of a terminal become the text that a person would have seen on it, and no text is lost on the way."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox_tools_server.output import TextDecoder, clean

SNIPPETS = [
    *(
        b"\x1b",
        b"[",
        b"]",
        b"]8;;",
        b"\\",
        b"\x07",
        b"P",
        b"_",
        b"^",
        b"X",
        b"(",
        b"B",
        b"c",
        b"?25l",
        b"38:5:1m",
        b" ",
    ),
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\b",
        b"\t",
        b"\0",
        b"\x7f",
        b"\x02",
        b"\x03",
        b"K",
        b"2K",
        b"\x1b[K",
        b"\x1b[2K",
        b"\x1b[1G",
    ),
    *(b"a", b"text", b"100%", "é".encode(), "漢".encode(), "😀".encode(), b"\xff", b"\xe2\x82", b"\xed\xa0\x80"),
    *("\x9b".encode(), "\x9d".encode(), "\x90".encode(), "\x9c".encode(), "\x85".encode(), b"\x9b"),
    *(b"x" * 4_095, b"y" * 32_768, b"1" * 256),
]
OUTPUTS = st.lists(st.sampled_from(SNIPPETS) | st.binary(max_size=4), max_size=24).map(b"".join)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut data at the places that fall inside it."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@settings(deadline=None)
@given(OUTPUTS, st.lists(st.integers(0, 200_000), max_size=12))
@example(b"\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", list(range(40)))
@example(b"10%\r20%\r\n\xe2\x82\xac\x1b[31mred", list(range(30)))
@example(b"x" * 65_536 + b"\ry" + b"x" * 65_536 + b"\b\bzz\n", [65_535, 65_536, 65_537, 131_073])
@example(b"\x1b]" + b"t" * 4_096 + b"\x07a", [4_097, 4_098, 4_099])
@example(b"\x1b]" + b"t" * 4_097 + b"\x07a", [4_097, 4_098, 4_099])
def test_the_text_does_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    """Reads from a pipe end anywhere, and a resumed stream ends elsewhere than the first: the text must not tell."""
    decoder = TextDecoder()
    assert "".join(map(decoder.decode, pieces(data, cuts))) + decoder.flush() == clean(data)


@settings(deadline=None)
@given(OUTPUTS)
def test_no_control_character_survives(data: bytes) -> None:
    """What is left over from a control sequence would reach the model, or a terminal that obeys it."""
    assert not {char for char in clean(data) if (char < " " or "\x7f" <= char <= "\x9f") and char not in "\n\t"}


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), max_size=200))
def test_plain_text_is_returned_as_it_is(text: str) -> None:
    """Most output is plain text, and none of it may be touched."""
    assert clean(text.encode()) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        (b"\x1b(Btext\x1b)0", "text"),
        (b"\x1b[38:5:1mred\x1b[0m", "red"),
        (b"\x1b[38;2;1;2;3mred\x1b[m", "red"),
        (b"\x1b[>4;2m\x1b[=1u\x1b[<u\x1b[!p\x1b[0 qtext", "text"),
        (b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1bctext", "text"),
        (b"\x1b#8\x1b%Gtext\x1b F", "text"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]0;title\x1b\\text", "text"),
        (b"\x1bP1;2q#0\x1b\\text\x1b_app\x1b\\\x1b^private\x1b\\\x1bXstring\x1b\\", "text"),
        ("\x9b31mred\x9d0;title\x9ctext\x90dcs\x9c\x84".encode(), "redtext"),
        (b"a\0b\x07c\x0bd\x7fe\x1b", "abcde"),
        (b"\x1b\x1b[31mtext\x1b\xc3\xa9", "texté"),
    ],
)
def test_control_sequences_are_taken_out(data: bytes, text: str) -> None:
    """Each of these is left in, or taken out only in part, by the patterns in common use."""
    assert clean(data) == text


def test_text_between_two_links_survives() -> None:
    """A pattern that looks for BEL alone swallows everything from a link's beginning to the next bell."""
    data = b"\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\ and the rest\nsecond line\x07\n"
    assert clean(data) == "link and the rest\nsecond line\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b]0;never ends\nnext\x07 line", "0;never ends\nnext line"),
        (b"\x1b]" + b"t" * 5_000 + b"\x07", "t" * 5_000),
        (b"\x1bPnever ends\nnext\x1b\\", "never ends\nnext"),
        (b"\x1b]0;broken off \x1b[31mred", "0;broken off red"),
        (b"\x1b[31", "31"),
        (b"\x1b[31\n", "31\n"),
        (b"\x1b[" + b"1" * 300 + b"m", "1" * 300 + "m"),
        (b"\x1b(", "("),
        (b"\x1b]0;title\x1b", "0;title"),
    ],
)
def test_a_sequence_that_never_ends_swallows_nothing(data: bytes, text: str) -> None:
    """A program that dies in the middle of a sequence must not take the rest of its output with it."""
    assert clean(data) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b"10%\r20%\r\n", "20%\n"),
        (b"10%\r20%\r", "20%"),
        (b"\r 10%\r100%\ndone\n", "100%\ndone\n"),
        (b"long line\rshort\n", "shortline\n"),
        (b"long line\r\x1b[Kshort\n", "short\n"),
        (b"long line\x1b[2Kshort\x1b[0K\n", "short\n"),
        (b"long line\x1b[1Gshort\x1b[K\n", "short\n"),
        (b"abc\b\bX\n", "aXc\n"),
        (b"a\b\b\bb\n", "b\n"),
        (b"N\bNA\bAM\bM", "NAM"),
        (b"a\r\r\nb\r\n\r\n", "a\nb\n\n"),
    ],
)
def test_a_redrawn_line_is_shown_as_it_was_last(data: bytes, text: str) -> None:
    """A progress bar prints itself a thousand times, and the reader wants its last state."""
    assert clean(data) == text


def test_a_line_held_too_long_is_given_out_and_not_overwritten() -> None:
    """Memory stays bounded however long a line grows; the price is that a redraw reaches back only so far."""
    decoder = TextDecoder()
    assert decoder.decode(b"x" * 65_535) == ""
    assert decoder.decode(b"xab") == "x" * 65_536
    assert decoder.decode(b"\rcd\n") == "cd\n"


def test_bytes_that_are_not_utf8_are_shown_as_such() -> None:
    """One wrong byte must cost one character, not the line and not the answer."""
    assert clean(b"a\xffb\xe2\x82") == "a\ufffdb\ufffd"


def test_a_flush_ends_the_line_and_what_follows_starts_afresh() -> None:
    """After a gap nothing is known of the line, the character or the sequence that was being written."""
    decoder = TextDecoder()
    assert decoder.decode(b"half a line \xe2\x82") + decoder.flush() == "half a line \ufffd"
    assert decoder.decode(b"\xac\rnext\n") == "next\n"
    assert decoder.flush() == ""


def seconds_to_decode(data: bytes) -> float:
    """Decode data as it comes from a pipe and say how long the processor took."""
    decoder = TextDecoder()
    began = time.process_time()
    for start in range(0, len(data), 65_536):
        decoder.decode(data[start : start + 65_536])
    decoder.flush()
    return time.process_time() - began


def test_a_line_of_ten_megabytes_is_decoded_at_once() -> None:
    """A minified file or a dump is one line, and it must not hold up the server or the agent."""
    assert seconds_to_decode(b"x" * 10_000_000) < 10


@pytest.mark.parametrize(
    "unit",
    [b"\rx", b"\r\x1b[Kx", b"\x1b[2K", b"\b", b"\0", b"\x1b", b"\x1b]", b"\x1bPx", b"\x1b[1", "\x9d".encode()],
    ids=repr,
)
def test_no_output_takes_more_than_linear_time(unit: bytes) -> None:
    """A command may print anything, on purpose too; here each unit costs microseconds, or else a whole long line."""
    assert seconds_to_decode(b"y" * 60_000 + unit * (1_000_000 // len(unit))) < 20
