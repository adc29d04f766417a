"""A line that loses answers: nothing runs twice, nothing is changed twice, and what is unknown is said."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox_tools import AsyncSandbox, Output, Sandbox
from tests.conftest import RunningServer


class Proxy:
    """Passes requests on, one connection each, and loses the answers to those that `loses` picks."""

    def __init__(self, server: RunningServer) -> None:
        self.target = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.loses: Callable[[bytes], bool] = lambda request: False
        self.seen: list[bytes] = []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.relay, args=(client,)).start()

    def relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as upstream:
            request = self.request(client)
            self.seen.append(request.partition(b"\r\n")[0])
            upstream.sendall(request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
            answer = b""
            while chunk := upstream.recv(65536):
                answer += chunk
            if not self.loses(request):
                with contextlib.suppress(OSError):
                    client.sendall(answer)

    def request(self, client: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while len(body) < int(lengths[0].split(b":")[1] if lengths else 0):
            body += client.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[Proxy]:
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def sandbox(server: RunningServer, proxy: Proxy) -> Iterator[Sandbox]:
    with Sandbox.connect(proxy.url, token=server.token) as sandbox:
        yield sandbox


def once(*parts: bytes) -> Callable[[bytes], bool]:
    """Picks the first request with each of these parts."""
    left = list(parts)

    def picks(request: bytes) -> bool:
        for part in left:
            if part in request:
                left.remove(part)
                return True
        return False

    return picks


def test_a_command_whose_answers_are_lost_runs_once(server: RunningServer, proxy: Proxy, sandbox: Sandbox) -> None:
    """The next start attaches to it by its id."""
    proxy.loses = once(b"PUT /v1/commands", b"PUT /v1/commands", b"PUT /v1/commands")
    result = sandbox.bash("echo ran >> times; echo done")
    assert result.output.startswith("done\n")
    assert (server.work_dir / "times").read_text() == "ran\n"


def test_a_job_whose_answers_are_lost_is_started_fed_and_ended_once(
    server: RunningServer, proxy: Proxy, sandbox: Sandbox
) -> None:
    """What the server did is told by the next answer."""
    proxy.loses = once(b"PUT /v1/commands", b"/input", b"/input", b"DELETE /v1/commands")
    job = sandbox.start("echo ran >> starts; head -c 6 > fed; echo fed; sleep 600", stdin_open=True)
    job.send(b"abc")
    job.send(b"def")
    assert next(event for event in job.stream() if isinstance(event, Output)).data == b"fed\n"
    assert (server.work_dir / "starts").read_text() == "ran\n"
    assert (server.work_dir / "fed").read_bytes() == b"abcdef"
    assert job.kill().result in ("killed", "already_exited")
    ended = job.wait(0)
    assert ended
    assert ended.killed


@pytest.mark.parametrize("path", ["edited.txt", "./edited.txt"])
def test_an_edit_whose_answer_is_lost_is_not_sent_again(
    server: RunningServer, proxy: Proxy, sandbox: Sandbox, path: str
) -> None:
    """Whether at the first attempt or after the path was looked up; the model is told to look."""
    (server.work_dir / "edited.txt").write_text("one\n")
    sandbox.read("edited.txt")
    proxy.loses = once(b'expected_version":"')
    result = sandbox.edit(path, "one", "one one")
    assert (result.success, result.code) == (False, "outcome_unknown")
    assert "Read the file" in result.error
    assert (server.work_dir / "edited.txt").read_text() == "one one\n"
    assert sandbox.edit(path, "one one", "two").code == "not_read"


def test_a_first_write_whose_answer_is_lost_is_not_sent_again(
    server: RunningServer, proxy: Proxy, sandbox: Sandbox
) -> None:
    """It may have created the file."""
    proxy.loses = once(b"PUT /v1/files/content")
    assert sandbox.write("created.txt", "x").code == "outcome_unknown"
    assert (server.work_dir / "created.txt").read_text() == "x"
    assert sandbox.write("created.txt", "y").code == "not_read"


def test_what_the_server_refuses_after_the_path_was_looked_up_is_told(server: RunningServer, sandbox: Sandbox) -> None:
    """The reason must not be lost on the way."""
    (server.work_dir / "looked-up.txt").write_text("one\n")
    sandbox.read("looked-up.txt")
    assert sandbox.edit("./looked-up.txt", "absent", "x").code == "no_match"


def test_a_command_whose_server_was_restarted_is_lost_and_runs_once(
    new_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """The new server cannot know what the old one did; running it again could do harm."""
    first = new_server(token="same", work_dir=tmp_path)
    port = first.url.rpartition(":")[2]
    with Sandbox.connect(first.url, token="same") as sandbox, ThreadPoolExecutor(1) as thread:
        running = thread.submit(sandbox.bash, "echo ran >> runs; sleep 60")
        while not (tmp_path / "runs").exists():
            assert first.process.poll() is None
        first.process.kill()
        first.process.wait()
        new_server(port=port, token="same", work_dir=tmp_path)
        result = running.result(60)
        assert (result.success, result.code) == (False, "command_lost")
        assert (tmp_path / "runs").read_text() == "ran\n"
        assert sandbox.bash("echo on").output.startswith("on\n")


def test_a_sandbox_that_comes_up_late_is_waited_for(new_server: Callable[..., RunningServer]) -> None:
    """It may be asleep, or being built."""
    first = new_server()
    port = first.url.rpartition(":")[2]
    first.stop()

    async def connect() -> None:
        waiting = asyncio.create_task(AsyncSandbox.connect(first.url, token="late"))
        await asyncio.to_thread(new_server, port=port, token="late")
        async with await waiting as sandbox:
            assert (await sandbox.run("echo up")).output == b"up\n"

    asyncio.run(connect())
