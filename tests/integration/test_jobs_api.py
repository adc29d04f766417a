"""Jobs for programs: started by one, read, fed and ended by any other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from sandbox_tools import AsyncSandbox, Exited, Output, Refused, Sandbox, TerminalSize
from sandbox_tools.client import new_id
from tests.conftest import RunningServer

ECHOES = "while read -r line; do echo got $line; done; echo end"


@pytest.fixture
def sandbox(server: RunningServer) -> Iterator[Sandbox]:
    """A client of the shared server."""
    with server.connect() as sandbox:
        yield sandbox


@pytest.fixture
def other(server: RunningServer) -> Iterator[Sandbox]:
    """Another client of the same server."""
    with server.connect() as sandbox:
        yield sandbox


def test_a_job_starts_at_once_and_is_listed(sandbox: Sandbox) -> None:
    """Its start does not wait for anything that it does."""
    job = sandbox.start("sleep 300", id="listed-job")
    [status] = [command for command in sandbox.commands() if command.id == job.id]
    assert (job.id, status.command, status.exit, status.takes_input) == ("listed-job", "sleep 300", None, False)
    assert repr(job) == "<Job listed-job>"
    assert job.wait(0) is None
    assert job.kill().result == "killed"
    assert job.kill().result == "already_exited"
    result = job.wait()
    assert result
    assert (result.killed, result.id) == (True, "listed-job")


def test_a_start_that_is_sent_again_attaches(sandbox: Sandbox) -> None:
    """A program that was restarted finds its job instead of a second one."""
    id = new_id()
    sandbox.start("echo once >> started", id=id)
    assert sandbox.start("echo once >> started", id=id).wait()
    assert sandbox.run("cat started").output == b"once\n"
    with pytest.raises(Refused) as caught:
        sandbox.start("echo other", id=id)
    assert caught.value.code == "command_conflict"


def test_a_job_is_fed_and_read_by_others(sandbox: Sandbox, other: Sandbox) -> None:
    """What one sends, another one sees, from the byte that they ask for; to stop reading does not end it."""
    id = sandbox.start(ECHOES, stdin_open=True).id
    job = other.job(id)
    assert sandbox.job(id).send("one\n").size == 4
    for event in job.stream():
        if isinstance(event, Output):
            break
    assert job.send(b"two\n").size == 8
    assert job.send(close=True).closed
    rest = list(sandbox.job(id).stream(after=8))
    assert b"".join(event.data for event in rest if isinstance(event, Output)) == b"got two\nend\n"
    assert [event.code for event in rest if isinstance(event, Exited)] == [0]
    result = sandbox.job(id).wait(0)
    assert result
    assert result.output == b"got one\ngot two\nend\n"


def test_a_job_that_takes_no_input_says_so(sandbox: Sandbox) -> None:
    """A program that feeds it must not believe that it was heard."""
    job = sandbox.start("sleep 300")
    with pytest.raises(Refused) as caught:
        job.send(b"x")
    assert caught.value.code == "input_closed"
    job.kill()


def test_a_job_that_closed_its_input_says_so(sandbox: Sandbox) -> None:
    """As soon as a byte could not be written."""
    job = sandbox.start("exec <&-; echo closed; sleep 300", stdin_open=True)
    for event in job.stream():
        if isinstance(event, Output):
            break
    assert job.send(b"x").closed
    with pytest.raises(Refused) as caught:
        job.send(b"y")
    assert caught.value.code == "input_closed"
    job.kill()


def test_large_input_of_a_job_arrives_whole(sandbox: Sandbox) -> None:
    """More than a pipe holds: it is sent as fast as the job reads."""
    job = sandbox.start("sleep 0.2; wc -c", stdin_open=True)
    job.send(b"x" * 3_000_000, close=True)
    result = job.wait()
    assert result
    assert result.output == b"3000000\n"


def test_the_streams_of_a_job_can_be_kept_apart(sandbox: Sandbox) -> None:
    """And each is read from its own offset."""
    job = sandbox.start("echo out; echo err >&2", streams="separate")
    result = job.wait()
    assert result
    assert (result.output, result.stderr) == (b"out\n", b"err\n")
    events = job.stream(after=2, after_stderr=1)
    assert {event.stream: event.data for event in events if isinstance(event, Output)} == {
        "stdout": b"t\n",
        "stderr": b"rr\n",
    }


@pytest.mark.parametrize(("tty", "size"), [(True, b"24 80"), (TerminalSize(rows=5, columns=40), b"5 40")])
def test_a_job_can_have_a_terminal(sandbox: Sandbox, tty: TerminalSize | bool, size: bytes) -> None:
    """Of a size that it can ask for and that can change."""
    job = sandbox.start("stty -echo; stty size; read -r line; stty size", tty=tty)
    for event in job.stream():
        if isinstance(event, Output):
            break
    job.resize(7, 70)
    job.send("\n")
    result = job.wait()
    assert result
    assert result.output.split(b"\r\n") == [size, b"7 70", b""]


def test_a_terminal_of_no_size_and_one_that_is_not_there_are_refused(sandbox: Sandbox) -> None:
    """With the reason."""
    job = sandbox.start("sleep 300")
    for rows in (0, 1):
        with pytest.raises(Refused) as caught:
            job.resize(rows, 1)
        assert caught.value.code == "invalid_request"
    job.kill()


def test_a_job_that_nobody_started_is_refused(sandbox: Sandbox) -> None:
    """Attaching must not start anything."""
    job = sandbox.job("nobody-started-me")
    for ask in (job.wait, job.send, lambda: list(job.stream())):
        with pytest.raises(Refused) as caught:
            ask()
        assert caught.value.code == "unknown_command"


def test_a_wait_ends_with_the_command(sandbox: Sandbox) -> None:
    """And not when its time is up, or what it left running is."""
    job = sandbox.start("until [ -e waited ]; do sleep 0.01; done; sleep 300 &")
    assert job.wait(0.1) is None
    threading.Timer(0.1, sandbox.files.write, ("waited", b"")).start()
    result = job.wait(100)
    assert result
    assert result.exit_code == 0


async def test_tasks_have_jobs_too(server: RunningServer) -> None:
    """The same in every respect."""
    async with await AsyncSandbox.connect(server.url, token=server.token) as sandbox:
        job = await sandbox.start(ECHOES, stdin_open=True)
        assert repr(job) == f"<AsyncJob {job.id}>"
        assert job.id in [command.id for command in await sandbox.commands()]
        assert await job.wait(0) is None
        await job.send("one\n", close=True)
        events = [event async for event in sandbox.job(job.id).stream()]
        assert b"".join(event.data for event in events if isinstance(event, Output)) == b"got one\nend\n"
        result = await job.wait()
        assert result
        assert result.exit_code == 0
        terminal = await sandbox.start("read -r line; stty size", tty=True)
        await terminal.resize(3, 30)
        await terminal.send("\n")
        result = await terminal.wait()
        assert result
        assert result.output.endswith(b"3 30\r\n")
        assert (await (await sandbox.start("sleep 300")).kill()).result == "killed"


def test_a_start_that_is_cancelled_leaves_nothing_running(server: RunningServer, sandbox: Sandbox) -> None:
    """Nobody knows of it. The id that was cancelled never runs."""

    async def cancel() -> None:
        async with await AsyncSandbox.connect(server.url, token=server.token) as mine:
            task = asyncio.create_task(mine.start("sleep 300", id="cancelled-job"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    assert not [job for job in sandbox.commands() if job.id == "cancelled-job" and job.exit is None]


def test_output_that_nobody_read_may_lack_its_middle(new_server: Callable[..., RunningServer]) -> None:
    """A job that nobody reads is not held up; how much is missing is said."""
    with new_server(keep_output=8 * 1024 * 1024).connect() as sandbox:
        result = sandbox.start("seq 3000000").wait()
    assert result
    assert result.dropped > 0
    assert len(result.output) + result.dropped == 22_888_896
    assert (result.output[:4], result.output[-16:]) == (b"1\n2\n", b"2999999\n3000000\n")
