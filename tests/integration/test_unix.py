"""HTTP over a unix socket: which connections are used again, and what breaks one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox_tools import Refused, Unreachable
from sandbox_tools.operations import Reply, Request
from sandbox_tools.transport import unix
from sandbox_tools.transport.unix import SocketConnections

HEALTH = Request("GET", "/v1/health")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Some: thing\r\n\r\nok"


class Listener:
    """Answers each request on each connection as it is told, and counts the connections."""

    def __init__(self, path: str) -> None:
        self.answer: Callable[[socket.socket], object] = lambda line: line.sendall(OK)
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                line, _ = self.socket.accept()
                self.connections += 1
                with line, contextlib.suppress(OSError, StopIteration):
                    while line.recv(65536):
                        self.answer(line)
                self.ended.release()

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(str(tmp_path / "socket"))
    yield listener
    listener.close()


Send = Callable[[Request], Reply]


@pytest.fixture(params=["thread", "task"])
def send(request: pytest.FixtureRequest, listener: Listener, tmp_path: Path) -> Iterator[Send]:
    """Sends in this thread, or in an event loop of its own each time."""
    connections = SocketConnections(str(tmp_path / "socket"), {"x-token": "secret"})
    yield connections.send if request.param == "thread" else lambda ask: asyncio.run(connections.asend(ask))
    connections.close()


def hang_up(line: socket.socket) -> None:
    raise StopIteration


def answer_and_hang_up(line: socket.socket) -> None:
    line.sendall(OK)
    hang_up(line)


def test_a_connection_is_used_again(listener: Listener, send: Send) -> None:
    """By whichever thread or event loop needs it next: to connect takes time."""
    replies = [send(HEALTH) for _ in range(3)]
    assert {(reply.status, reply.headers["x-some"], reply.content) for reply in replies} == {(200, "thing", b"ok")}
    assert listener.connections == 1


def test_a_connection_that_was_hung_up_is_not_used_again(listener: Listener, send: Send) -> None:
    """The server may end what is idle; a request would be lost on it."""
    listener.answer = answer_and_hang_up
    for _ in range(2):
        assert send(HEALTH).content == b"ok"
        assert listener.ended.acquire(timeout=10)
    assert listener.connections == 2


def test_a_connection_that_spoke_unasked_is_not_used_again(listener: Listener, send: Send) -> None:
    """What came would be taken for the next answer."""
    more = threading.Event()

    def answer_twice(line: socket.socket) -> None:
        line.sendall(OK)
        listener.answer = lambda line: line.sendall(OK)
        assert more.wait(10)
        line.sendall(OK)
        more.clear()

    listener.answer = answer_twice
    assert send(HEALTH).content == b"ok"
    more.set()
    while more.is_set():
        pass
    assert send(HEALTH).content == b"ok"
    assert listener.connections == 2


@pytest.mark.parametrize("header", [b"connection: close", b"x-long-ago: yes"])
def test_a_connection_that_is_over_is_not_used_again(
    listener: Listener, send: Send, header: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Because the server says so, or because it was idle for too long."""
    if header == b"x-long-ago: yes":
        monkeypatch.setattr(unix, "KEEP_ALIVE", 0.0)
    listener.answer = lambda line: line.sendall(OK.replace(b"X-Some: thing", header))
    for _ in range(2):
        assert send(HEALTH).content == b"ok"
    assert listener.ended.acquire(timeout=10)
    assert listener.connections == 2


@pytest.mark.parametrize(
    ("lie", "begun"),
    [
        (b"", False),
        (OK[:-1], True),
        (OK + OK, True),
        (b"HTTP/1.1 103 Early\r\n\r\n", True),
        (b"HTTP/1.1 101 Off\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, False),
        (b"no HTTP\r\n\r\n", False),
    ],
)
def test_what_is_no_answer_breaks_the_connection(listener: Listener, send: Send, lie: bytes, begun: bool) -> None:
    """And whether an answer had begun is told."""

    def answer(line: socket.socket) -> None:
        line.sendall(lie)
        hang_up(line)

    listener.answer = answer
    with pytest.raises(Unreachable) as caught:
        send(HEALTH)
    assert (caught.value.sent, caught.value.final) == (True, False)
    assert caught.value.begun == begun or b"101" in lie
    listener.answer = lambda line: line.sendall(OK)
    assert send(HEALTH).content == b"ok"


def test_an_answer_that_comes_before_the_request_is_whole_counts(listener: Listener, send: Send) -> None:
    """A server need not read a body that is too large; that connection is over."""
    listener.answer = answer_and_hang_up
    for connections in (1, 2):
        assert send(Request("PUT", "/", content=b"x" * 10_000_000)).content == b"ok"
        assert listener.ended.acquire(timeout=10)
        assert listener.connections == connections


def test_an_answer_that_does_not_come_is_given_up(listener: Listener, send: Send) -> None:
    """In the time that the request says."""
    listener.answer = lambda line: None
    with pytest.raises(Unreachable, match="broke: "):
        send(Request("GET", "/", timeout=0.05))


def test_a_server_that_takes_no_more_connections_now_is_only_busy(tmp_path: Path) -> None:
    """It may take some soon; a socket that nobody listens on never will."""
    path = str(tmp_path / "busy")
    connections = SocketConnections(path, {})
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        with pytest.raises(Unreachable) as caught:
            connections.send(HEALTH)
        assert (caught.value.sent, caught.value.final) == (False, True)
        listener.bind(path)
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                line = waiting.enter_context(socket.socket(socket.AF_UNIX))
                line.setblocking(False)
                line.connect(path)
        with pytest.raises(Unreachable) as caught:
            connections.send(HEALTH)
        assert (caught.value.sent, caught.value.final) == (False, False)


@pytest.mark.parametrize("path", ["x" * 70_000, "\ud800"])
def test_a_path_that_no_request_can_carry_is_refused(send: Send, path: str) -> None:
    """Before anything is sent."""
    with pytest.raises(Refused, match="too long for a request, or is no text"):
        send(Request("GET", "/v1/files/exists", {"path": path}))
