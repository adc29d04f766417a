"""Bytes of a terminal become the text that a person would have seen on it, and no text is lost on the way."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox_tools_server.output import LiveText, TextDecoder, clean, settled

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
MOVES = (b"\x02", b"\x03", b"K", b"2K", b"\x1b[K", b"\x1b[2K", b"\x1b[1G")
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


# The grammar of ECMA-48: what introduces a sequence, what it may hold, and what ends it.
PARAMETERS = st.text("0123456789:;<=>?", max_size=12)
INTERMEDIATES = st.text(" !\"#$%&'()*+,-./", max_size=2)
FINALS = [chr(code) for code in range(0x40, 0x7F) if chr(code) not in "GK"]  # those two move and erase
CSI = st.builds(
    "{}{}{}{}".format, st.sampled_from(["\x1b[", "\x9b"]), PARAMETERS, INTERMEDIATES, st.sampled_from(FINALS)
)
CONTENT = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.just("\t"), max_size=40)
ENDS = st.sampled_from(["\x1b\\", "\x9c"])
OSC = st.builds("{}{}{}".format, st.sampled_from(["\x1b]", "\x9d"]), CONTENT, ENDS | st.just("\x07"))
STRINGS = st.builds(
    "{}{}{}".format, st.sampled_from([*"\x90\x98\x9e\x9f", *("\x1b" + c for c in "PX^_")]), CONTENT, ENDS
)
ESCAPES = st.builds(
    "\x1b{}{}".format, INTERMEDIATES.filter(bool), st.characters(min_codepoint=0x30, max_codepoint=0x7E)
) | st.sampled_from([f"\x1b{chr(code)}" for code in range(0x30, 0x7F) if chr(code) not in "PX[]^_"])
PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(PLAIN, CSI | OSC | STRINGS | ESCAPES), max_size=8), st.lists(st.integers(0, 999), max_size=6))
def test_every_sequence_of_the_standard_goes_and_no_text_goes_with_it(
    parts: list[tuple[str, str]], cuts: list[int]
) -> None:
    """Whatever a terminal would obey and not show; a pattern that takes too much swallows the answer to a question."""
    data = "".join(text + sequence for text, sequence in parts).encode()
    text = "".join(text for text, _ in parts)
    decoder = TextDecoder()
    assert "".join(map(decoder.decode, pieces(data, cuts))) + decoder.flush() == text


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


# In pieces that are shown one by one


UNMOVED = st.lists(
    st.sampled_from(
        [part for part in SNIPPETS if not {*part} & {*b"\r\b\n"} and len(part) < 4_000 and part not in MOVES]
    )
    | st.sampled_from([b"\n"]),
    max_size=24,
).map(b"".join)


@settings(deadline=None)
@given(UNMOVED, st.lists(st.integers(0, 200_000), max_size=6))
@example(b"\x1b]0;title\x1b\\text\x1b[31mred\xe2\x82\xac", list(range(30)))
@example(b"a" * 20_000 + b"\x1b]0;" + "é".encode() * 4_000 + b"\x07b", [20_002, 20_003, 24_001, 28_003])
def test_output_that_is_shown_in_parts_reads_like_the_whole(data: bytes, cuts: list[int]) -> None:
    """Two answers put together must be what one would have been: no half character, no half control sequence."""
    shown, rest = "", b""
    for piece in pieces(data, cuts):
        rest += piece
        end = settled(rest)
        shown += clean(rest[:end])
        rest = rest[end:]
    assert shown + clean(rest) == clean(data)


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"text", b""),
        (b"text\xe2\x82", b"\xe2\x82"),
        (b"text\xff", b""),
        (b"text\x1b", b"\x1b"),
        (b"text\x1b[31", b"\x1b[31"),
        (b"text\x1b[31m", b""),
        (b"text\x1b]0;ti", b"\x1b]0;ti"),
        (b"text\x1b]0;ti\xc3", b"\x1b]0;ti\xc3"),
        (b"text\x1b]0;ti\xff\x1b", b"\x1b]0;ti\xff\x1b"),
        (b"text\x1b]0;ti\x1b\\", b""),
        (b"\x1b]0;ti\x1b[3", b"\x1b[3"),
        (b"text\x1b(", b"\x1b("),
        ("text\x9d0;ti".encode(), "\x9d0;ti".encode()),
        (b"\x1b]" + b"t" * 4_096, b"\x1b]" + b"t" * 4_096),
        (b"\x1b]" + b"t" * 4_097, b""),
    ],
)
def test_what_has_only_begun_is_known_to_the_byte(data: bytes, rest: bytes) -> None:
    """The next answer starts there, so a byte too many is shown twice and one too few is lost."""
    assert data[settled(data) :] == rest


@settings(deadline=None)
@given(OUTPUTS, st.lists(st.integers(0, 200_000), max_size=12))
def test_live_text_does_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    """And no control character but those that move in the line and end it reaches a terminal."""
    whole, live = LiveText(), LiveText()
    text = whole.decode(data) + whole.flush()
    assert "".join(map(live.decode, pieces(data, cuts))) + live.flush() == text
    assert not {char for char in text if (char < " " or "\x7f" <= char <= "\x9f") and char not in "\n\t\r\b"}


def test_live_text_waits_for_no_line_end() -> None:
    """A question has no line end, and who watches a progress bar wants to see it move."""
    live = LiveText()
    assert live.decode(b"\x1b[1mSure? \x1b[2K[y/n] ") == "Sure? [y/n] "
    assert live.decode(b"\r 10%\r 20%\xe2") == "\r 10%\r 20%"
    assert live.flush() == "\ufffd"


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
