"""Editing a file: one change of its text, and nothing else of it."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.files import changes, edit_file, locks, read_window
from sandbox_tools_server.wire import FileEdit, FileEdited

MIB = 1024 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def edit(file: Path, old: str, new: str, expected: str | None = "any", **options: Any) -> FileEdited:
    change = FileEdit(path=file.name, old_str=old, new_str=new, expected_version=expected, **options)
    return edit_file(change, str(file.parent))


def refusal(file: Path, old: str, new: str, expected: str | None = "any", **options: Any) -> Refused:
    """Edit the file in vain, and see that it is the same file with the same bytes and the same time."""
    before, content = file.stat(), file.read_bytes()
    with pytest.raises(Refused) as caught:
        edit(file, old, new, expected, **options)
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns, file.read_bytes()) == (before.st_ino, before.st_mtime_ns, content)
    return caught.value


def version(file: Path) -> str:
    return read_window(str(file), None, 1).version


def test_an_edit_answers_what_changed(file: Path) -> None:
    """The reader sees the change in its place, and the version to go on with."""
    file.write_bytes(b"one\ntwo\nthree\nfour\n")
    edited = edit(file, "two\n", "2\n2.5\n", version(file))
    assert file.read_bytes() == b"one\n2\n2.5\nthree\nfour\n"
    assert (edited.path, edited.version) == (str(file), version(file))
    assert (edited.replacements, edited.first_line, edited.last_line, edited.total_lines) == (1, 2, 3, 5)
    assert edited.diff == [
        "      1  one",
        "      2 - two",
        "      2 + 2",
        "      3 + 2.5",
        "      4  three",
        "      5  four",
    ]
    assert not edited.was_stale


def test_an_unread_file_is_refused_with_its_version(file: Path) -> None:
    """The ledger is asked again by the canonical path."""
    file.write_bytes(b"one\n")
    refused = refusal(file, "one", "two", None)
    assert refused.code == "precondition_required"
    assert refused.data == {"path": str(file), "version": version(file)}


def test_a_stale_edit_is_refused(file: Path) -> None:
    """Unless the caller says that a match is evidence enough."""
    file.write_bytes(b"one\n")
    refused = refusal(file, "one", "two", "b:00")
    assert (refused.code, refused.data["version"]) == ("stale", version(file))


def test_a_stale_edit_applies_if_it_matches_exactly_and_once(file: Path) -> None:
    """The text itself is the evidence, and the answer says that the file had changed."""
    file.write_bytes(b"one\n")
    assert edit(file, "one", "two", "b:00", if_stale="exact").was_stale
    assert file.read_bytes() == b"two\n"


def test_a_stale_edit_of_every_place_is_refused(file: Path) -> None:
    """Places that nobody has seen would change too."""
    file.write_bytes(b"one\n")
    assert refusal(file, "one", "two", "b:00", if_stale="exact", replace_all=True).code == "stale"


def test_a_stale_edit_that_does_not_match_is_told_that_the_file_changed(file: Path) -> None:
    """That is the likeliest reason."""
    file.write_bytes(b"one\n")
    refused = refusal(file, "two", "three", "b:00", if_stale="exact")
    assert refused.code == "no_match"
    assert "has changed" in refused.hint
    assert refused.data == {"path": str(file), "version": version(file)}


@pytest.mark.parametrize(
    ("content", "old", "new", "code"),
    [
        (b"a\na\n", "a", "b", "ambiguous_match"),
        (b"a\n", "b", "c", "no_match"),
        (b"a\n", "a", "a", "identical"),
        (b"a\n", "", "a", "invalid_request"),
        (b"\xe9 a\n", "a", "é", "encoding"),
        (b"\0a\n", "a", "b", "binary_file"),
    ],
)
def test_a_refused_edit_leaves_the_file_alone(file: Path, content: bytes, old: str, new: str, code: str) -> None:
    """Not even its time changes, so that no watcher is woken."""
    file.write_bytes(content)
    assert refusal(file, old, new).code == code


def test_only_text_files_are_edited(tmp_path: Path) -> None:
    """They are refused as they are when they are read."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dir").mkdir()
    codes: list[str] = []
    for name in ("fifo", "dir", "none"):
        with pytest.raises(Refused) as caught:
            edit(tmp_path / name, "a", "b")
        codes.append(caught.value.code)
    assert codes == ["not_a_regular_file", "is_a_directory", "file_not_found"]


def test_a_file_that_is_too_large_is_refused(file: Path) -> None:
    """It would be held in memory; a command can change it."""
    file.write_bytes(b"x\n" * 8192)
    os.truncate(file, 64 * MIB + 1)
    refused = refusal(file, "a", "b")
    assert refused.code == "file_error"
    assert "sed" in refused.hint


def test_mode_links_and_bytes_around_the_change_stay(tmp_path: Path) -> None:
    """Line ends, byte order mark and bytes that are no text are not the edit's business."""
    file = tmp_path / "file"
    file.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = \xff\r\nc")
    file.chmod(0o755)
    (tmp_path / "link").symlink_to("file")
    edited = edit(tmp_path / "link", "a = 1\nb", "a = 2\nx = 3\nb")
    assert file.read_bytes() == b"\xef\xbb\xbfa = 2\r\nx = 3\r\nb = \xff\r\nc"
    assert file.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "link").is_symlink()
    assert edited.path == str(file)
    assert edited.diff[0] == "      1 - a = 1"
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


@pytest.mark.parametrize(
    ("content", "old", "new", "lines"),
    [
        (b"a\nb\nc\n", "b\n", "", (2, 2, 2)),
        (b"a\nb\n", "b\n", "", (1, 1, 1)),
        (b"a", "a", "", (1, 1, 0)),
        (b"a\nb", "b", "b\n", (2, 2, 2)),
        (b"a\nb\nc\n", "a\nb\nc", "a\nB\nc", (2, 2, 3)),
    ],
)
def test_changed_lines_are_named(file: Path, content: bytes, old: str, new: str, lines: tuple[int, int, int]) -> None:
    """They are lines of the file as it is now, also where some were deleted."""
    file.write_bytes(content)
    edited = edit(file, old, new)
    assert (edited.first_line, edited.last_line, edited.total_lines) == lines


def test_inserted_lines_are_the_changed_ones(file: Path) -> None:
    """The anchor did not change."""
    file.write_bytes(b"import os\nx\n")
    edited = edit(file, "import os", "import sys", mode="append_after")
    assert (edited.first_line, edited.last_line) == (2, 2)
    assert edited.diff == ["      1  import os", "      2 + import sys", "      3  x"]


def test_changes_apart_are_shown_apart_with_the_numbers_they_have_now(file: Path) -> None:
    """Each line of context is shown once, however near two changes are."""
    file.write_bytes("".join(f"{'x' if n in (2, 7, 30) else n}\n" for n in range(1, 33)).encode())
    edited = edit(file, "x", "y\nz", replace_all=True)
    assert (edited.replacements, edited.first_line, edited.last_line) == (3, 2, 33)
    assert edited.diff == [
        "      1  1",
        "      2 - x",
        "      2 + y",
        "      3 + z",
        "      4  3",
        "      5  4",
        "      6  5",
        "[…]",
        "      7  6",
        "      7 - x",
        "      8 + y",
        "      9 + z",
        "     10  8",
        "     11  9",
        "     12  10",
        "[…]",
        "     29  27",
        "     30  28",
        "     31  29",
        "     30 - x",
        "     32 + y",
        "     33 + z",
        "     34  31",
        "     35  32",
    ]


def test_changes_of_one_line_and_of_the_next_are_shown_together(file: Path) -> None:
    """They are one place to the reader."""
    file.write_bytes(b"0\nx = x + 1\nx\n4\nx\n")
    edited = edit(file, "x", "y", replace_all=True)
    assert (edited.replacements, edited.first_line, edited.last_line) == (4, 2, 5)
    assert edited.diff == [
        "      1  0",
        "      2 - x = x + 1",
        "      3 - x",
        "      2 + y = y + 1",
        "      3 + y",
        "      4  4",
        "[…]",
        "      5 - x",
        "      5 + y",
    ]


def test_a_large_change_is_shown_in_sixty_lines(file: Path) -> None:
    """The answer stays readable."""
    file.write_bytes(b"x\n" * 500)
    diff = edit(file, "x", "y", replace_all=True).diff
    assert (len(diff), diff[0], diff[-2:]) == (60, "      1 - x", ["     59 - x", "[… 941 more lines]"])


@pytest.mark.parametrize("between", [b"", b"\n", b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"])
def test_a_hundred_thousand_changes_are_shown_like_sixty(file: Path, between: bytes) -> None:
    """What is not shown is counted and not made."""
    file.write_bytes((b"x\n" + between) * 100_000)
    edited = edit(file, "x", "y\nz", replace_all=True)
    assert (edited.replacements, edited.total_lines) == (100_000, (2 + between.count(b"\n")) * 100_000)
    assert (len(edited.diff), edited.diff[0]) == (60, "      1 - x")


def test_a_large_text_that_becomes_another_is_cut_on_both_sides(file: Path) -> None:
    """Of the lines that are removed and those that are added no more are made than are shown."""
    file.write_bytes(b"0\n" + b"a\n" * 200_000 + b"9\n")
    diff = edit(file, "a\n" * 200_000, "b\n" * 300_000).diff
    assert diff[:2] + diff[-2:] == ["      1  0", "      2 - a", "     59 - a", "[… 499,943 more lines]"]
    diff = edit(file, "b\n" * 300_000, "c\n").diff
    assert diff[:2] + diff[-2:] == ["      1  0", "      2 - b", "     59 - b", "[… 299,944 more lines]"]
    diff = edit(file, "c\n", "d\n" * 300_000).diff
    assert diff[:3] + diff[-2:] == [
        "      1  0", "      2 - c", "      2 + d", "     58 + d", "[… 299,944 more lines]"
    ]  # fmt: skip


def test_a_long_line_is_shown_by_its_beginning_and_its_length(file: Path) -> None:
    """It is counted in characters, also in the middle of one, and a change beyond what is shown is one all the same."""
    file.write_bytes(b"\xef\xbb\xbf" + "é".encode() * 100_000 + b"\r\nx\r\n" + b"a" * 70_000 + b"b")
    first = "é" * 160
    diff = edit(file, "b", "c").diff
    assert diff[0].startswith(f"      1  {first}")
    assert diff[0].endswith("… [line of 100,000 characters, cut]")
    assert [line[:10] for line in diff] == ["      1  é", "      2  x", "      3 - ", "      3 + "]
    assert diff[2].endswith("a… [line of 70,001 characters, cut]")


def test_an_edit_of_a_huge_crlf_file_takes_little_more_memory_than_the_file(file: Path) -> None:
    """A number for every line end would be many times as large as the lines."""
    file.write_bytes(b"\r\n" * (10 * MIB) + b"word\r\n")
    tracemalloc.start()
    try:
        edit(file, "word", "words")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * file.stat().st_size
    assert file.stat().st_size == 20 * MIB + 7


def test_a_last_line_that_gets_an_end_is_context_to_what_follows(file: Path) -> None:
    """It looks the same, although its newline is new."""
    file.write_bytes(b"import os")
    assert edit(file, "import os", "import sys", mode="append_after").diff == [
        "      1  import os",
        "      2 + import sys",
    ]


@given(
    content=st.lists(st.sampled_from(["a\n", "b\n", "\n", "ab\n", "c\n"]), max_size=40)
    .map("".join)
    .map("{}end".format),
    old=st.text(st.sampled_from("ab\n"), min_size=1, max_size=3),
    new=st.text(st.sampled_from("ab\n"), max_size=4),
    mode=st.sampled_from(["replace", "append_after", "prepend_before"]),
)
def test_a_diff_shows_what_the_files_have_and_counts_what_it_leaves_out(
    tmp_path_factory: pytest.TempPathFactory, content: str, old: str, new: str, mode: str
) -> None:
    """Whatever the edit is: each line is shown under its number, and a cut diff is the whole one, cut."""
    file = tmp_path_factory.getbasetemp() / "shown"
    diffs: list[list[str]] = []
    for limit in (10_000, 12):
        file.write_text(content, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch, suppress(Refused):
            patch.setattr(changes, "DIFF_LINES", limit)
            diffs.append(edit(file, old, new, replace_all=True, mode=mode).diff)
    if not diffs:
        return
    whole, cut = diffs
    before, after = content.split("\n"), file.read_text(encoding="utf-8").split("\n")
    grown = 0
    for line in filter("[…]".__ne__, whole):
        mark = line[7:10] if line[7:10] in (" - ", " + ") else "  "
        grown += (mark == " + ") - (mark == " - ")
        assert (before if mark == " - " else after)[int(line[:7]) - 1] == line[7:].removeprefix(mark)
    assert grown == len(after) - len(before)
    if len(whole) <= 12:
        assert cut == whole
    else:
        more = sum(line != "[…]" for line in whole[11:])
        assert cut == [*whole[:11], f"[… {more:,} more line{'s' * (more != 1)}]"]


def test_parallel_edits_of_a_file_are_all_applied(file: Path) -> None:
    """None is lost, whichever name it uses."""
    file.write_bytes("".join(f"<{number}>\n" for number in range(40)).encode())
    os.link(file, file.with_name("other"))
    barrier = threading.Barrier(40)

    def change(number: int) -> None:
        barrier.wait()
        edit(file.with_name(("file", "other")[number % 2]), f"<{number}>", f"[{number}]")

    threads = [threading.Thread(target=change, args=[number]) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text(encoding="utf-8") == "".join(f"[{number}]\n" for number in range(40))
    assert sorted(os.listdir(file.parent)) == ["file", "other"]


def test_parallel_edits_of_one_version_let_one_through(file: Path) -> None:
    """The others are refused as stale, and what they wanted is not half there."""
    file.write_bytes(b"0\n" * 3)
    seen, barrier, outcomes = version(file), threading.Barrier(10), list[str]()

    def change(number: int) -> None:
        barrier.wait()
        try:
            edit(file, "0\n0\n0\n", f"{number}\n" * 3, seen)
        except Refused as refused:
            outcomes.append(refused.code)
        else:
            outcomes.append(f"{number}\n" * 3)

    threads = [threading.Thread(target=change, args=[number]) for number in range(1, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("stale") == 9
    assert file.read_text(encoding="utf-8") in outcomes


def test_locks_are_forgotten_when_nobody_uses_them(file: Path) -> None:
    """A server that lives for weeks does not collect a lock for every file."""
    file.write_bytes(b"a\n")
    edit(file, "a", "b")
    gc.collect()
    assert not [key for key in locks._LOCKS if key == str(file)]  # pyright: ignore[reportPrivateUsage]


@given(
    content=st.lists(st.sampled_from([b"a", b"b", b"\n", b"\r\n", b"\r", b"\xe9", "é".encode()])).map(b"".join),
    old=st.text(st.sampled_from("ab\né"), max_size=3),
    new=st.text(st.sampled_from("ab\né"), max_size=3),
    replace_all=st.booleans(),
)
def test_an_edit_is_refused_and_changes_nothing_or_says_which_lines_changed(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, old: str, new: str, replace_all: bool
) -> None:
    """Whatever the file and the edit are, lines outside the ones that are named keep their bytes."""
    file = tmp_path_factory.getbasetemp() / "edited"
    file.write_bytes(content)
    try:
        edited = edit(file, old, new, replace_all=replace_all)
    except Refused:
        refusal(file, old, new, replace_all=replace_all)
        return
    before, after = content.split(b"\n"), file.read_bytes().split(b"\n")
    above = edited.first_line - 1
    below = len(after) - edited.last_line - 1
    assert before[:above] == after[:above]
    assert below < 1 or before[-below:] == after[-below:]
    assert edited.version == version(file)
    assert 1 <= edited.first_line <= edited.last_line <= max(edited.total_lines, 1)
