"""The least that an HTTP client can do: what a request costs through it is the server's."""

from __future__ import annotations

import json
import socket
import uuid
from types import TracebackType
from typing import Self

ANYWHERE = 2**62
"""An offset beyond all output: whoever asks from there on is told how a command ended, and nothing that it printed."""


class RawClient:
    """One keep-alive connection.

    Arguments:
        address: path of a unix socket, or `HOST:PORT`.
        headers: sent with each request, such as `"name: value"`.
    """

    def __init__(self, address: str, *headers: str) -> None:
        self._head = head(*headers)
        self._socket = socket.socket(socket.AF_UNIX if address.startswith("/") else socket.AF_INET)
        host, _, port = address.rpartition(":")
        self._socket.connect((host, int(port)) if host else address)

    def send(self, method: str, target: str, body: str = "") -> bytes:
        """Send a request and return the body of its answer, which must be a success."""
        self._socket.sendall(request(method, target, self._head, body))
        first, _, content = self._socket.recv(65536).partition(b"\r\n\r\n")
        if not first.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{method} {target}: {(first + content).decode()}")
        missing = content_length(first) - len(content)
        if not missing:
            return content
        parts = [content]
        while missing:
            parts.append(self._socket.recv(min(missing, 1024 * 1024)))
            missing -= len(parts[-1])
        return b"".join(parts)

    def run(self, command: str) -> bytes:
        """Run a command to its end, and fetch what it printed."""
        return self.send("PUT", new_command(), json.dumps({"command": command}))

    def run_unread(self, command: str) -> None:
        """Run a command to its end, and fetch nothing that it prints."""
        path = f"{new_command()}&after={ANYWHERE}"
        while b'"exited"' not in self.send("PUT", path, json.dumps({"command": command})):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()


def head(*headers: str) -> str:
    """The lines that all requests of a client share."""
    return "".join(f"{header}\r\n" for header in ("host: sandbox", "content-type: application/json", *headers))


def request(method: str, target: str, headers: str, body: str) -> bytes:
    """A request as it goes over the wire."""
    return f"{method} {target} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n{body}".encode()


def content_length(head: bytes) -> int:
    """How many bytes follow the first lines of an answer."""
    return int(head.lower().partition(b"content-length:")[2].split(None, 1)[0])


def new_command(wait: float = 20) -> str:
    """Where to put a command that did not run yet."""
    return f"/v1/commands/{uuid.uuid4().hex}?wait={wait}"
