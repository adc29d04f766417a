"""HTTP over a unix socket, where there are no proxies, redirects and cookies to be had, or to take time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Generator, Mapping

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from sandbox_tools.errors import Unreachable
from sandbox_tools.operations import Reply, Request

from .connections import KEEP_ALIVE, target

CHUNK = 256 * 1024
"""The most to receive at once, in bytes."""

MAX_HEAD = 64 * 1024
"""The longest head of an answer, in bytes."""


class SocketConnections:
    """Connections to the server behind a unix socket. Threads and the tasks of any event loop share them."""

    def __init__(self, path: str, headers: Mapping[str, str]) -> None:
        self._path = path
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in {"host": "sandbox", **headers}.items())
        self._idle: list[tuple[socket.socket, float]] = []
        self._used: set[socket.socket] = set()
        self._closed = False

    def send(self, request: Request) -> Reply:
        content = self._bytes(request)
        with self._exchange() as (line, answer):
            line.settimeout(request.timeout)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered all the same
                line.sendall(content)
            while not answer.complete:
                answer.feed(line.recv(CHUNK))
        return answer.reply()

    async def asend(self, request: Request) -> Reply:
        loop = asyncio.get_running_loop()
        content = self._bytes(request)
        with self._exchange() as (line, answer):
            line.setblocking(False)
            async with asyncio.timeout(request.timeout) as patience:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    await loop.sock_sendall(line, content)
                while not answer.complete:
                    answer.feed(await loop.sock_recv(line, CHUNK))
                    patience.reschedule(loop.time() + request.timeout)
        return answer.reply()

    def close(self) -> None:
        """Close every connection: a call that is under way breaks."""
        self._closed = True
        for line in [*self._used]:
            with contextlib.suppress(OSError):  # it was just closed
                line.shutdown(socket.SHUT_RDWR)
        while self._idle:
            self._idle.pop()[0].close()

    async def aclose(self) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _bytes(self, request: Request) -> bytes:
        head = f"{request.method} {target(request)} HTTP/1.1\r\n{self._headers}"
        if request.content is None:
            return f"{head}\r\n".encode()
        head += f"content-type: {request.content_type}\r\ncontent-length: {len(request.content)}\r\n\r\n"
        return head.encode() + request.content

    @contextlib.contextmanager
    def _exchange(self) -> Generator[tuple[socket.socket, Answer]]:
        """A connection for one request and its answer; it is kept if both were whole."""
        line = self._take()
        answer = Answer()
        self._used.add(line)
        try:
            yield line, answer
        except OSError as error:
            message = f"The connection to the sandbox at {self._path} broke: {str(error) or type(error).__name__}."
            raise Unreachable(message, sent=True, begun=answer.begun) from error
        finally:
            self._used.discard(line)
            if answer.leaves_open and not self._closed:
                self._idle.append((line, time.monotonic()))
            else:
                line.close()

    def _take(self) -> socket.socket:
        while self._idle:
            line, since = self._idle.pop()
            if time.monotonic() - since < KEEP_ALIVE and _is_quiet(line):
                return line
            line.close()
        return self._connected()

    def _connected(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.setblocking(False)
            line.connect(self._path)
        except OSError as error:
            line.close()
            busy = isinstance(error, BlockingIOError)
            hint = "" if busy else " It has ended: start or connect to another one."
            message = f"The sandbox at {self._path} does not answer: {error}.{hint}"
            raise Unreachable(message, sent=False, final=not busy) from error
        return line


def _is_quiet(line: socket.socket) -> bool:
    """Whether an idle connection is still open, and nothing came on it that nobody asked for."""
    try:
        line.setblocking(False)
        line.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class Answer:
    """An answer as it comes in.

    Attributes:
        begun: whether its head is there.
        complete: whether all of it is.
        leaves_open: whether the connection can carry another one.
    """

    def __init__(self) -> None:
        self.begun = False
        self.complete = False
        self.leaves_open = False
        self._parts = _Parts()
        self._parser = HttpResponseParser(self._parts)
        self._head = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes, `b""` if there are no more; ConnectionError if they are no part of an answer."""
        if not data:
            raise ConnectionError("it ended before the answer did" if self.begun else "it ended without an answer")
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise ConnectionError(f"what came is no answer ({type(error).__name__})") from error
        parts = self._parts
        self.begun = parts.begun
        self._head += 0 if parts.begun else len(data)
        if self._head > MAX_HEAD:
            raise ConnectionError("its head has no end")
        if parts.messages > 1 or (parts.complete and self._parser.get_status_code() < 200):
            raise ConnectionError("it is not the answer to the request")
        self.complete = parts.complete
        self.leaves_open = parts.complete and parts.headers.get("connection", "").lower() != "close"

    def reply(self) -> Reply:
        """The whole of it."""
        return Reply(self._parser.get_status_code(), self._parts.headers, b"".join(self._parts.body))


class _Parts:
    """What the parser found so far; it calls the methods."""

    def __init__(self) -> None:
        self.messages = 0
        self.begun = False
        self.complete = False
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.complete = True
