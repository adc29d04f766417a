"""What is kept of a command's output, in memory and on disk."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_tools_server.processes import log
from sandbox_tools_server.processes.archive import Archive
from sandbox_tools_server.processes.log import OutputLog
from sandbox_tools_server.processes.readers import Readers
from sandbox_tools_server.processes.segments import Budget, Segments
from sandbox_tools_server.settings import Settings

pieces_of_output = st.lists(st.binary(max_size=300), max_size=30)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@given(pieces_of_output, st.integers(64, 400), st.integers(0, 2000))
def test_segments_answer_every_byte_that_they_keep_and_keep_no_more_than_they_may(
    pieces: list[bytes], keep: int, left: int
) -> None:
    """From any offset; on disk is never more than allowed, to one log and to all of them."""
    printed = b"".join(pieces)
    budget = Budget(left)
    with tempfile.TemporaryDirectory() as folder:
        segments = Segments(os.path.join(folder, "log"), keep, budget)
        for piece in pieces:
            segments.append([piece])
            on_disk = sum(file.stat().st_size for file in Path(folder).iterdir())
            assert on_disk == segments.held == left - budget.left <= min(keep, left)
        assert segments.size == len(printed)
        kept = 0
        position = 0
        while position < segments.size:
            start, data = segments.read(position, 50)
            if not data:
                break
            assert start >= position
            assert data == printed[start : start + len(data)]
            position = start + len(data)
            kept += len(data)
        assert kept == segments.held
        if left >= keep:
            assert segments.failure is None
            assert position == len(printed)
            assert kept >= min(len(printed), keep // 2)
        segments.remove()
        assert (os.listdir(folder), budget.left) == ([], left)


@given(pieces=pieces_of_output, after=st.integers(0, 9000), limit=st.integers(1, 500), keep=st.integers(64, 4000))
async def test_a_log_answers_every_byte_that_it_kept(pieces: list[bytes], after: int, limit: int, keep: int) -> None:
    """Whatever is in memory, on disk, or on its way from one to the other: what comes is what was printed there."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(1) as executor,
    ):
        for name, size in {"HEAD": 50, "TAIL": 100, "BATCH": 200, "BACKLOG": 500, "SHORT": 20}.items():
            patch.setattr(log, name, size)
        output = OutputLog(Segments(os.path.join(folder, "log"), keep, Budget(10**9)), executor, lambda: None)
        printed = b""
        for number, piece in enumerate(pieces):
            if piece:
                output.append(piece)
                printed += piece
            if number % 3 == 0:
                await _check(output, printed, min(after, len(printed)), limit, keep)
        await output.settle()
        await _check(output, printed, 0, len(printed) + 1, keep)
        output.release()
        await _check(output, printed, 0, len(printed) + 1, keep)
        assert (output.path is None) == (len(printed) <= 20)
        output.remove()


async def _check(output: OutputLog, printed: bytes, after: int, limit: int, keep: int) -> None:
    pieces, end = await output.read(after, limit)
    position = after
    for start, data in pieces:
        assert start >= position
        assert data
        assert data == printed[start : start + len(data)]
        position = start + len(data)
    assert position <= end <= len(printed)
    assert sum(len(data) for _, data in pieces) <= limit
    if len(printed) <= keep // 2:
        told = b"".join(data for _, data in pieces)
        assert told == printed[after : after + limit]


async def test_a_log_that_grows_faster_than_the_disk_says_that_it_is_full(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    """Until it has room again, and then it tells."""
    changes: list[bool] = []
    output = OutputLog(
        Segments(str(tmp_path / "log"), 10**8, Budget(10**9)), executor, lambda: changes.append(output.full)
    )
    for _ in range(9):
        output.append(bytes(log.BATCH))
    assert output.full
    await output.settle()
    assert not output.full
    assert changes[-1] is False


async def test_output_that_cannot_be_written_keeps_its_ends(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    """In memory, even when the command is done."""
    output = OutputLog(Segments(str(tmp_path / "nowhere" / "log"), 10**8, Budget(10**9)), executor, lambda: None)
    for number in range(10):
        output.append(b"%d" % number * log.BATCH)
    await output.settle()
    output.release()
    pieces, end = await output.read(0, 10**9)
    assert (pieces[0][0], pieces[0][1][:1], pieces[-1][1][-1:], end) == (0, b"0", b"9", output.size)
    assert sum(len(data) for _, data in pieces) <= log.HEAD + log.TAIL + log.BATCH
    assert output.path is None


async def test_files_that_someone_takes_away_are_a_gap(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    """The folder is on a machine where an agent works; nothing may fail because of it."""
    output = OutputLog(Segments(str(tmp_path / "log"), 8000, Budget(10**9)), executor, lambda: None)
    output.append(b"a" * 7000)
    await output.settle()
    output.release()
    shutil.rmtree(tmp_path)
    pieces, end = await output.read(0, 10**6)
    assert (pieces, end) == ([], 7000)
    output.remove()


async def test_old_output_that_cannot_be_deleted_still_takes_its_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the disk would fill up with what nobody counts."""
    budget = Budget(1000)
    segments = Segments(str(tmp_path / "log"), 400, budget)
    segments.append([b"x" * 50])
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    segments.remove()
    assert budget.left == 950
    assert "could not be deleted" in caplog.text


def test_a_log_without_output_can_leave_a_trace(tmp_path: Path) -> None:
    """So that the next server knows of a command that has printed nothing yet; a folder that is gone is no error."""
    segments = Segments(str(tmp_path / "log"), 400, Budget(1000))
    segments.touch()
    segments.touch()
    assert (tmp_path / "log").read_bytes() == b""
    nowhere = Segments(str(tmp_path / "nowhere" / "log"), 400, Budget(1000))
    nowhere.touch()
    assert isinstance(nowhere.failure, FileNotFoundError)


def test_a_full_disk_leaves_no_empty_files_and_is_noticed(tmp_path: Path) -> None:
    """Each failed attempt would leave a name; and what ended long ago can make room."""
    budget = Budget(10**6)
    segments = Segments(str(tmp_path / "log"), 800, budget)
    segments.append([b"x" * 250])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", _full)
        for _ in range(5):
            segments.append([b"y" * 100])
    assert (budget.starved, budget.left) == (True, 10**6 - 250)
    segments.append([b"z" * 50])
    assert [file.read_bytes()[-1:] for file in sorted(tmp_path.iterdir())] == [b"x", b"x", b"z"]
    assert segments.read(250, 100) == (750, b"z" * 50)


def _full(fd: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_reader_is_waited_for_until_it_comes_back_itself() -> None:
    """Two may read one command: the faster one is not taken for the slower one."""
    readers = Readers()
    assert readers.slowest is None
    with readers.at(0):
        assert readers.slowest == 0
    readers.left(0, 10)
    with readers.at(1000):
        assert readers.slowest == 10
    readers.left(1000, 2000)
    with readers.at(5):  # an answer was cut off: it comes back to less than it was given
        assert readers.slowest == 5
    assert readers.slowest == 2000


def test_what_was_lost_and_cannot_be_deleted_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The server goes on without it."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "old-command.log").write_text("printed long ago")
    archive = Archive(Settings(token_sha256="0" * 64, log_dir=logs))
    logs.rename(tmp_path / "elsewhere")
    logs.write_text("a file")
    assert archive.tidy(aged=math.inf, count=10) == ["old-command"]
    archive.close()
    assert "could not be deleted" in caplog.text
