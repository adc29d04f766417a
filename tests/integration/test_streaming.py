"""What a command prints, live and whole: over lines that break, for readers who leave, and for those who come back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox_tools import AsyncSandbox, Closed, CommandStatus, Exited, Output, Refused, Sandbox, Started, Unreachable
from tests.conftest import RunningServer

WAITS = "echo one; until [ -e go ]; do sleep 0.01; done; echo two"
"""Prints, and goes on when somebody has seen it."""

SLEEPS = "echo begun; sleep 300"


def go(sandbox: Sandbox | AsyncSandbox) -> None:
    """Let `WAITS` go on."""
    assert sandbox.work_dir
    Path(sandbox.work_dir, "go").touch()


def status(sandbox: Sandbox, id: str) -> CommandStatus:
    [found] = [command for command in sandbox.commands() if command.id == id]
    return found


def killed(sandbox: Sandbox, id: str) -> bool:
    """Whether a command was ended on request, by now."""
    exit = status(sandbox, id).exit
    return exit is not None and exit.killed


class Cutter:
    """A proxy that passes bytes on and cuts each connection when so many have come back as `budget` says."""

    def __init__(self, server: RunningServer, budget: Callable[[], float]) -> None:
        self.target = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self.budget = budget
        self.cuts = 0
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self.listener.accept()
                upstream = socket.create_connection(self.target)
                for end in (client, upstream):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.open.append(client)
                threading.Thread(target=self.pass_on, args=(client, upstream)).start()
                threading.Thread(target=self.pass_back, args=(upstream, client)).start()

    def pass_on(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                upstream.sendall(chunk)
            upstream.shutdown(socket.SHUT_RDWR)

    def pass_back(self, upstream: socket.socket, client: socket.socket) -> None:
        left = self.budget()
        with upstream, client, contextlib.suppress(OSError):
            while left > 0 and (chunk := upstream.recv(int(min(left, 65536)))):
                client.sendall(chunk)
                left -= len(chunk)
            self.cuts += left <= 0
            client.shutdown(socket.SHUT_RDWR)

    def cut(self, budget: Callable[[], float]) -> None:
        """Cut every connection that is open, and have others carry only so much."""
        self.budget = budget
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def cutter(server: RunningServer) -> Iterator[Cutter]:
    cutter = Cutter(server, lambda: float("inf"))
    yield cutter
    cutter.close()


# Live


def test_events_come_as_they_happen(sandbox: Sandbox) -> None:
    """Or the loop below would wait for ever for what waits for it."""
    kinds: list[str] = []
    for event in sandbox.stream(WAITS, timeout=60):
        kinds.append(event.kind)
        if isinstance(event, Output) and event.data == b"one\n":
            go(sandbox)
    assert isinstance(event, Closed)
    assert kinds == ["started", "output", "output", "exited", "closed"]


def test_output_is_given_while_the_command_runs(sandbox: Sandbox) -> None:
    """And is whole in the result all the same."""
    pieces: list[bytes] = []

    def see(piece: bytes) -> None:
        pieces.append(piece)
        go(sandbox)

    result = sandbox.run(WAITS, timeout=60, on_output=see)
    assert (pieces, result.output, result.timed_out) == ([b"one\n", b"two\n"], b"one\ntwo\n", False)


async def test_a_task_is_given_events_as_they_happen() -> None:
    """The same flow drives both."""
    async with await AsyncSandbox.local() as sandbox:
        printed = b""
        async for event in sandbox.stream(WAITS, timeout=60):
            if isinstance(event, Output):
                printed += event.data
                go(sandbox)
        assert printed == b"one\ntwo\n"
        seen: list[bytes] = []
        assert (await sandbox.run("echo 1; echo 2", on_output=seen.append)).output == b"".join(seen) == b"1\n2\n"


def test_an_exit_is_told_though_something_runs_on(sandbox: Sandbox) -> None:
    """A reader who was away when it exited must not be told it only when the rest is over."""
    for event in sandbox.stream("echo hi; sleep 10 &"):
        if isinstance(event, Output):
            threading.Event().wait(0.3)  # longer than the server waits for more
    assert isinstance(event, Exited)  # and no close
    assert event.left_running


# Whole


def test_nothing_of_a_long_output_is_lost(sandbox: Sandbox) -> None:
    """It is more than any answer carries and any buffer holds."""
    result = sandbox.run("seq 4000000")
    assert result.output == b"".join(b"%d\n" % number for number in range(1, 4_000_001))
    assert (result.dropped, result.exit_code) == (0, 0)
    assert result.log


def test_the_streams_can_be_kept_apart(sandbox: Sandbox) -> None:
    """For programs that parse one of them."""
    result = sandbox.run("for i in 1 2 3; do echo out$i; echo err$i >&2; done", streams="separate")
    assert (result.output, result.stderr) == (b"out1\nout2\nout3\n", b"err1\nerr2\nerr3\n")
    events = list(sandbox.stream("echo out; echo err >&2", streams="separate"))
    assert {(event.stream, event.data) for event in events if isinstance(event, Output)} == {
        ("stdout", b"out\n"),
        ("stderr", b"err\n"),
    }


def test_large_input_comes_out_as_it_went_in(sandbox: Sandbox) -> None:
    """Sending must not wait for what waits for reading."""
    data = random.Random(1).randbytes(5_000_000)
    assert sandbox.run("cat", input=data).output == data
    printed = b"".join(event.data for event in sandbox.stream("cat", input=data) if isinstance(event, Output))
    assert printed == data


def test_input_may_be_text_and_need_not_be_read(sandbox: Sandbox) -> None:
    """`head` leaves the rest alone, which is no error."""
    assert sandbox.run("cat", input="grüße").output == "grüße".encode()
    assert sandbox.run("head -c 3", input="x" * 3_000_000).output == b"xxx"
    with pytest.raises(Refused, match="cannot be sent"):
        sandbox.run("cat", input="\ud800")


# Lines that break


def test_a_stream_that_is_cut_a_thousand_times_is_the_original(server: RunningServer, cutter: Cutter) -> None:
    """At any byte: in a head, in an answer, between two."""
    data = random.Random(2).randbytes(5_000_000)
    (server.work_dir / "original").write_bytes(data)
    with Sandbox.connect(cutter.url, token=server.token) as sandbox:
        chance = random.Random(3)
        cutter.cut(lambda: chance.randint(1, 16_000))
        assert sandbox.run("echo ran >> cut-times; cat original").output == data
    assert cutter.cuts >= 1000
    assert (server.work_dir / "cut-times").read_text() == "ran\n"


def test_a_line_that_carries_little_carries_everything_in_the_end(server: RunningServer, cutter: Cutter) -> None:
    """Answers become as short as they must."""
    with Sandbox.connect(cutter.url, token=server.token) as sandbox:
        cutter.cut(lambda: 3_000)
        assert sandbox.run("seq 20000").output.endswith(b"\n19999\n20000\n")
    assert cutter.cuts > 30


class Pages(Cutter):
    """Answers some requests by a page of its own."""

    pages: Iterator[bytes] = iter(())

    def pass_on(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                page = next(self.pages, None)
                if page is not None:
                    client.sendall(page)
                    client.shutdown(socket.SHUT_RDWR)
                    break
                upstream.sendall(chunk)
            upstream.shutdown(socket.SHUT_RDWR)


def page(status: str) -> bytes:
    html = b"<html>One moment, please.</html>"
    return b"HTTP/1.1 %s\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%s" % (
        status.encode(),
        len(html),
        html,
    )


def test_pages_of_a_proxy_are_no_answers(server: RunningServer) -> None:
    """Whatever their status: the sandbox was there before."""
    proxy = Pages(server, lambda: float("inf"))
    try:
        with Sandbox.connect(proxy.url, token=server.token) as sandbox:
            proxy.pages = (page(text) for text in ("502 Bad", "200 OK", "404 None", "302 Off"))
            assert sandbox.run("echo ran >> paged; echo on").output == b"on\n"
    finally:
        proxy.close()
    assert (server.work_dir / "paged").read_text() == "ran\n"


def test_a_sandbox_that_stays_away_is_said_with_the_id_and_attached_to_later(
    server: RunningServer, cutter: Cutter
) -> None:
    """`patience` says how long that is waited for; the command goes on."""
    with Sandbox.connect(cutter.url, token=server.token, patience=0.2) as sandbox:
        stream = sandbox.stream("echo one; until [ -e away ]; do sleep 0.01; done; echo two", id="is-away-soon")
        seen = [next(stream), next(stream)]
        assert isinstance(seen[0], Started)
        cutter.cut(lambda: 0)
        with pytest.raises(Unreachable, match="attach to it by its id, is-away-soon"):
            next(stream)
        (server.work_dir / "away").touch()
    with server.connect() as other:
        result = other.job("is-away-soon").wait()
        assert result
        assert (result.output, result.exit_code, result.killed) == (b"one\ntwo\n", 0, False)


def test_a_lost_command_names_its_log(new_server: Callable[..., RunningServer], tmp_path: Path) -> None:
    """What it printed is not lost with it."""
    settings = {"token": "same", "work_dir": tmp_path, "log_dir": tmp_path / "logs"}
    first = new_server(**settings)
    port = first.url.rpartition(":")[2]
    with Sandbox.connect(first.url, token="same") as sandbox:
        stream = sandbox.stream("seq 100000; sleep 300")
        size = 0
        while size < 588_895:
            event = next(stream)
            size += len(event.data) if isinstance(event, Output) else 0
        threading.Event().wait(1.5)  # it leaves its trace by the second
        first.process.kill()
        first.process.wait()
        new_server(port=port, **settings)
        with pytest.raises(Refused) as caught:
            next(stream)
        assert caught.value.code == "command_lost"
        assert sandbox.files.read(caught.value.data["log"]).startswith(b"1\n2\n3\n")


# Readers who leave


def leave_by_closing(sandbox: Sandbox, id: str) -> None:
    stream = sandbox.stream(SLEEPS, id=id)
    next(stream)
    stream.close()


def leave_by_break(sandbox: Sandbox, id: str) -> None:
    for event in sandbox.stream(SLEEPS, id=id):
        if isinstance(event, Output):
            break


def leave_by_error(sandbox: Sandbox, id: str) -> None:
    with contextlib.suppress(ZeroDivisionError):
        for event in sandbox.stream(SLEEPS, id=id):
            1 / (not isinstance(event, Output))


def leave_by_error_of_listener(sandbox: Sandbox, id: str) -> None:
    with pytest.raises(ZeroDivisionError):
        sandbox.run(SLEEPS, id=id, on_output=lambda _: 1 / 0)


def leave_by_ctrl_c(sandbox: Sandbox, id: str) -> None:
    def interrupt() -> None:
        while not sandbox.commands():
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        list(sandbox.stream(SLEEPS, id=id))
    thread.join()


def leave_by_cancel(sandbox: Sandbox, id: str) -> None:
    async def cancel() -> None:
        async with await AsyncSandbox.connect(sandbox.url, token=sandbox.token) as other:

            async def read() -> None:
                async for event in other.stream(SLEEPS, id=id):
                    begun.set() if isinstance(event, Output) else None

            begun = asyncio.Event()
            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(killed, sandbox, id)

    asyncio.run(cancel())


def leave_a_task_by_break(sandbox: Sandbox, id: str) -> None:
    async def leave() -> None:
        async with await AsyncSandbox.connect(sandbox.url, token=sandbox.token) as other:
            async for _ in other.stream(SLEEPS, id=id):
                break

    asyncio.run(leave())


def leave_a_task_by_closing(sandbox: Sandbox, id: str) -> None:
    async def leave() -> None:
        async with await AsyncSandbox.connect(sandbox.url, token=sandbox.token) as other:
            async with contextlib.aclosing(other.stream(SLEEPS, id=id)) as stream:
                await anext(stream)
            assert await asyncio.to_thread(killed, sandbox, id)

    asyncio.run(leave())


def leave_with_the_event_loop(sandbox: Sandbox, id: str) -> None:
    other = AsyncSandbox(sandbox._host, 60)

    async def leave() -> object:
        stream = other.stream(SLEEPS, id=id)
        await anext(stream)
        return stream  # open, and held until the loop is gone

    asyncio.run(leave())
    other._transport.close()


@pytest.mark.parametrize(
    "leave",
    [
        leave_by_closing,
        leave_by_break,
        leave_by_error,
        leave_by_error_of_listener,
        leave_by_ctrl_c,
        leave_by_cancel,
        leave_a_task_by_break,
        leave_a_task_by_closing,
        leave_with_the_event_loop,
    ],
)
def test_a_command_ends_with_its_reader(sandbox: Sandbox, leave: Callable[[Sandbox, str], None]) -> None:
    """However they leave: nobody else knows of it. It has ended when they are gone."""
    leave(sandbox, "left-alone")
    assert killed(sandbox, "left-alone")


def test_an_error_that_is_thrown_into_a_stream_ends_the_command() -> None:
    """As one in the loop does, and it comes back out."""

    async def throw() -> None:
        async with await AsyncSandbox.local() as sandbox:
            stream = sandbox.stream(SLEEPS)
            await anext(stream)
            with pytest.raises(ZeroDivisionError):
                await stream.athrow(ZeroDivisionError())
            [command] = await sandbox.commands()
            assert command.exit
            assert command.exit.killed

    asyncio.run(throw())


def test_a_detached_command_goes_on_and_is_read_by_whoever_comes(sandbox: Sandbox) -> None:
    """From the byte where the first one stopped."""
    for event in sandbox.stream(WAITS, id="detached", detach=True):
        if isinstance(event, Output):
            break
    assert status(sandbox, "detached").exit is None
    go(sandbox)
    with Sandbox.connect(sandbox.url, token=sandbox.token) as other:
        rest = list(other.job("detached").stream(after=4))
    assert [event.data for event in rest if isinstance(event, Output)] == [b"two\n"]
    assert [event.code for event in rest if isinstance(event, Exited)] == [0]


def test_a_detached_command_survives_the_cancel_of_its_reader(sandbox: Sandbox) -> None:
    """The same in a task."""

    async def leave() -> None:
        async with await AsyncSandbox.connect(sandbox.url, token=sandbox.token) as other:
            async for _ in other.stream(SLEEPS, id="detached", detach=True):
                break

    asyncio.run(leave())
    assert status(sandbox, "detached").exit is None


CLIENT = """
import sys
from sandbox_tools import Sandbox

with Sandbox.connect(sys.argv[1], token=sys.argv[2]) as sandbox:
    command = "for i in {1..2000}; do echo line $i; done; until [ -e killed ]; do sleep 0.01; done; exit 7"
    for event in sandbox.stream(command, id="survives-me"):
        if event.kind == "output":
            print(event.offset + len(event.data), flush=True)
"""


def test_a_client_that_is_killed_is_followed_by_another(server: RunningServer) -> None:
    """SIGKILL leaves no time for anything; the command does not notice."""
    with subprocess.Popen([sys.executable, "-c", CLIENT, server.url, server.token], stdout=subprocess.PIPE) as client:
        assert client.stdout
        seen = int(client.stdout.readline())
        client.kill()
    (server.work_dir / "killed").touch()
    whole = b"".join(b"line %d\n" % number for number in range(1, 2001))
    with server.connect() as sandbox:
        rest = list(sandbox.job("survives-me").stream(after=seen))
        assert b"".join(event.data for event in rest if isinstance(event, Output)) == whole[seen:]
        assert [event.code for event in rest if isinstance(event, Exited)] == [7]


def test_a_loop_over_what_is_emitted_is_no_loop_over_results(sandbox: Sandbox) -> None:
    """A flow that emits can be run as well: its events are let go."""
    from sandbox_tools import client

    transport = sandbox._transport
    ids = (f"emitting-{number}" for number in itertools.count())
    start = client.command_start("echo hi", None, None, None)
    end = transport.run(client.stream(next(ids), start, b"", detach=False))
    assert isinstance(end, Exited)
    end = asyncio.run(transport.arun(client.stream(next(ids), start, b"", detach=False)))
    assert isinstance(end, Exited)
