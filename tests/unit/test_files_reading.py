"""Reading a window of a text file."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.files import open_content, read_window
from sandbox_tools_server.output import LINE_LIMIT, READ_CHARS, number_lines
from sandbox_tools_server.wire import TextWindow

MIB = 1024 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def window(file: Path, content: bytes, offset: int | None = None, limit: int | None = None) -> TextWindow:
    file.write_bytes(content)
    return read_window(str(file), offset, limit)


def test_a_text_is_read_with_what_is_to_be_known_of_it(file: Path) -> None:
    """All the facts come with the lines, in one answer."""
    found = window(file, b"one\ntwo\n")
    assert found.path == str(file)
    assert (found.size, found.first, found.lines, found.total_lines) == (8, 1, ["one", "two"], 2)
    assert (found.next_offset, found.cut, found.line_ends) == (None, [], "lf")
    assert (found.bom, found.utf8, found.final_newline) == (False, True, True)


def test_an_empty_file_has_no_lines(file: Path) -> None:
    """It is no error, and its first line is where one may begin to read."""
    found = window(file, b"", offset=1)
    assert (found.lines, found.total_lines, found.line_ends, found.final_newline) == ([], 0, "none", False)


def test_a_byte_order_mark_is_hidden_and_reported(file: Path) -> None:
    """Shown, it would be copied into an edit."""
    found = window(file, b"\xef\xbb\xbfone\n")
    assert (found.lines, found.bom, found.size) == (["one"], True, 7)
    assert window(file, b"\xef\xbb\xbf").total_lines == 0


@pytest.mark.parametrize(
    ("content", "lines", "ends"),
    [
        (b"a\r\nb\r\n", ["a", "b"], "crlf"),
        (b"a\r\nb\n", ["a", "b"], "mixed"),
        (b"a\rb\x0cc\n", ["a\rb\x0cc"], "lf"),
        ("a\u2028b\u0085c".encode(), ["a\u2028b\u0085c"], "none"),
        (b"a\r\r\n", ["a\r"], "crlf"),
        (b"a\n\r", ["a", "\r"], "lf"),
        (b"\n\n", ["", ""], "lf"),
    ],
)
def test_lines_end_at_newlines_alone(file: Path, content: bytes, lines: list[str], ends: str) -> None:
    """Line numbers must agree with those of grep, compilers and editors."""
    found = window(file, content)
    assert (found.lines, found.total_lines, found.line_ends) == (lines, len(lines), ends)
    assert found.final_newline == content.endswith(b"\n")


@pytest.mark.parametrize("content", [b"caf\xe9\n", b"ok\n" + "é".encode()[:1]])
def test_bytes_that_are_not_utf8_are_shown_and_reported(file: Path, content: bytes) -> None:
    """A wrong byte must not hide the file, nor pass unnoticed."""
    found = window(file, content)
    assert found.lines[-1].endswith("\ufffd")
    assert not found.utf8


def test_a_wrong_byte_far_away_is_reported(file: Path) -> None:
    """The fact is about the file, not about the window."""
    assert not window(file, b"a\n" * MIB + b"\xff", limit=1).utf8


def test_a_window_says_where_to_go_on(file: Path) -> None:
    """The next offset is the first line that was not shown."""
    found = window(file, b"1\n2\n3\n4\n5", offset=2, limit=2)
    assert (found.first, found.lines, found.total_lines, found.next_offset) == (2, ["2", "3"], 5, 4)
    assert window(file, b"1\n2\n3", offset=3, limit=9).next_offset is None


def test_an_offset_of_zero_is_the_first_line(file: Path) -> None:
    """Models count from 0 as well."""
    assert window(file, b"1\n2\n", offset=0).first == 1


@pytest.mark.parametrize(("offset", "limit"), [(-1, None), (None, 0), (None, -5)])
def test_numbers_that_mean_no_lines_are_refused(file: Path, offset: int | None, limit: int | None) -> None:
    """Nothing sensible could be shown."""
    with pytest.raises(Refused) as caught:
        window(file, b"1\n", offset, limit)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(("content", "offset", "lines"), [(b"1\n2", 3, 2), (b"1\n", 2, 1), (b"", 2, 0)])
def test_an_offset_past_the_end_tells_the_number_of_lines(file: Path, content: bytes, offset: int, lines: int) -> None:
    """An empty answer would look like an empty file."""
    with pytest.raises(Refused) as caught:
        window(file, content, offset)
    assert caught.value.code == "offset_past_end"
    assert caught.value.data["total_lines"] == lines
    assert f"{lines} line" in caught.value.detail


def test_a_long_line_is_cut_and_says_how_long_it_is(file: Path) -> None:
    """One minified line must not take the place of all the others."""
    found = window(file, b"short\n" + "é".encode() * 5000 + b"\r\n" + b"x" * LINE_LIMIT + b"\r\n")
    assert found.cut == [2]
    assert len(found.lines[1]) == LINE_LIMIT
    assert "5,000" in found.lines[1]
    assert found.lines[2] == "x" * LINE_LIMIT


def test_a_window_stops_where_its_text_would_be_too_long(file: Path) -> None:
    """What a model is shown has a bound, and room is left for what is said about it."""
    found = window(file, (b"x" * 99 + b"\n") * 1000)
    assert found.next_offset == len(found.lines) + 1
    rendered = number_lines(found.lines, 1)
    assert READ_CHARS - 500 < len(rendered) <= READ_CHARS - 300
    assert len(read_window(str(file), None, None, max_chars=None).lines) == 1000


def test_a_window_has_one_line_at_least(file: Path) -> None:
    """Else a reader that goes on at the next offset would stay where it is."""
    file.write_bytes(b"x" * 400 + b"\n" + b"y")
    found = read_window(str(file), None, None, max_chars=1)
    assert (len(found.lines), found.next_offset) == (1, 2)


def test_lines_are_whole_wherever_the_pieces_of_a_file_end(file: Path) -> None:
    """Line ends and characters of several bytes fall between two pieces sooner or later."""
    for shift in range(5):
        content = b"x" * (MIB - shift) + "é\r\nend\r\n".encode()
        found = window(file, content)
        assert found.lines[1] == "end"
        assert f"{MIB - shift + 1:,}" in found.lines[0]
        assert (found.total_lines, found.line_ends, found.utf8) == (2, "crlf", True)
        assert window(file, content, offset=2).lines == ["end"]


def test_a_window_deep_in_a_file_has_the_lines_of_that_place(file: Path) -> None:
    """Skipping lines must not lose count, however many there are in a piece."""
    content = b"".join(b"%d\n" % number for number in range(1, 400_001))
    found = window(file, content, offset=399_999, limit=5)
    assert found.lines == ["399999", "400000"]
    assert window(file, content, offset=200_000, limit=1).lines == ["200000"]


def test_one_huge_line_is_never_held_in_memory(file: Path) -> None:
    """The window's memory is the window's, not the file's."""
    with file.open("wb") as target:
        for _ in range(48):
            target.write(b"x" * MIB)
    tracemalloc.start()
    try:
        found = read_window(str(file), None, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert f"{48 * MIB:,}" in found.lines[0]
    assert peak < 12 * MIB


def test_a_binary_file_is_refused_with_what_to_do_instead(file: Path) -> None:
    """Its bytes would tell a reader nothing."""
    with pytest.raises(Refused) as caught:
        window(file, b"\x7fELF\0" + b"x" * 95)
    assert caught.value.code == "binary_file"
    assert caught.value.data == {"path": str(file), "size": 100}
    assert "xxd" in caught.value.hint


def test_a_nul_far_from_the_beginning_makes_no_binary_file(file: Path) -> None:
    """A log with a stray NUL is a log."""
    assert window(file, b"x\n" * 4096 + b"\0\n", offset=4097).lines == ["\0"]


def test_a_file_without_a_size_is_read(file: Path) -> None:
    """Those of /proc have content although they are said to be empty."""
    found = read_window("/proc/self/status", None, None)
    assert found.lines[0].startswith("Name:")
    assert found.size > 0
    with open_content("/proc/self/cmdline") as content:
        assert content.size == len(content.read(0, MIB)) > 0


def test_the_version_is_that_of_the_content(file: Path) -> None:
    """Neither the time nor the name counts, and one byte does."""
    first = window(file, b"one\n").version
    assert first.startswith("b:")
    assert window(file, b"two\n").version != first
    assert window(file, b"one\n", limit=1).version == first


def sparse(file: Path, size: int) -> None:
    """Make a large text file in no time: one line, then a hole."""
    file.write_bytes(b"x\n" * 4096)
    os.truncate(file, size)


def test_the_version_of_a_large_file_is_found_without_reading_it(file: Path) -> None:
    """It changes with every write all the same."""
    sparse(file, 64 * MIB + 1)
    with open_content(str(file)) as content:
        first = content.version
    assert first.startswith("s:")
    assert read_window(str(file), None, 1).version == first
    os.utime(file, ns=(0, 1))
    with open_content(str(file)) as content:
        assert content.version != first


def changing(monkeypatch: pytest.MonkeyPatch, file: Path, times: int) -> list[bytes]:
    """Let another program write into the file whenever a piece of it was read, so many times."""
    pread, writes = os.pread, [b"%d" % number for number in range(times)]

    def piece(descriptor: int, count: int, position: int) -> bytes:
        found = pread(descriptor, count, position)
        if writes:
            with file.open("r+b") as target:
                target.write(writes.pop())
            os.utime(file, ns=(0, len(writes)))
        return found

    monkeypatch.setattr(os, "pread", piece)
    return writes


def test_a_file_that_changes_while_it_is_read_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown is what is there."""
    file.write_bytes(b"x\n")
    changing(monkeypatch, file, 1)
    assert read_window(str(file), None, None).lines == ["0"]


def test_a_large_file_that_never_rests_gets_a_version_of_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that does not describe what was shown would let an edit destroy what was not."""
    sparse(file, 64 * MIB + 1)
    writes = changing(monkeypatch, file, 500)
    found = read_window(str(file), None, 1)
    assert writes
    assert found.version.startswith("t:")


def test_a_file_that_grows_while_it_is_examined_is_no_longer_digested(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one of /proc that has no end: the work stays bounded."""
    sparse(file, 64 * MIB)
    pread = os.pread

    def piece(descriptor: int, count: int, position: int) -> bytes:
        os.truncate(file, 64 * MIB + 10)
        return pread(descriptor, count, position)

    monkeypatch.setattr(os, "pread", piece)
    with open_content(str(file)) as content:
        assert content.version.startswith("s:")


@given(
    content=st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r", "é".encode(), b"\xff"])).map(b"".join),
    offset=st.integers(0, 8),
    limit=st.none() | st.integers(1, 4),
)
def test_a_window_is_a_slice_of_the_lines(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, offset: int, limit: int | None
) -> None:
    """Reading in pieces gives what splitting the whole would give."""
    file = tmp_path_factory.getbasetemp() / "window"
    lines = content.replace(b"\r\n", b"\n").decode("utf-8", "replace").split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    start = max(offset, 1) - 1
    if start >= max(len(lines), 1):
        with pytest.raises(Refused):
            window(file, content, offset, limit)
        return
    found = window(file, content, offset, limit)
    assert found.lines == lines[start:][:limit]
    assert found.total_lines == len(lines)
    following = start + len(found.lines) + 1
    assert found.next_offset == (following if following <= len(lines) else None)
