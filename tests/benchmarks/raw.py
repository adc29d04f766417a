"""The least that an HTTP client can do: what a request costs through it is the server's."""

from __future__ import annotations

import socket
import uuid
from types import TracebackType
from typing import Self


class RawClient:
    """One keep-alive connection to a unix socket."""

    def __init__(self, path: str, token: str = "") -> None:
        self._head = f"host: sandbox\r\nx-sandbox-authorization: Bearer {token}\r\n"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)

    def send(self, method: str, target: str, body: str = "") -> bytes:
        """Send a request and return the body of its answer, which must be a success."""
        self._socket.sendall(request(method, target, self._head, body))
        head, _, content = self._socket.recv(65536).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{method} {target}: {(head + content).decode()}")
        size = int(head.lower().partition(b"content-length:")[2].split(None, 1)[0])
        while len(content) < size:
            content += self._socket.recv(65536)
        return content

    def run(self, command: str) -> bytes:
        """Run a command to its end."""
        return self.send("PUT", new_command(), f'{{"command":"{command}"}}')

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()


def request(method: str, target: str, headers: str, body: str) -> bytes:
    """A request as it goes over the wire."""
    return f"{method} {target} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n{body}".encode()


def new_command(wait: float = 20) -> str:
    """Where to put a command that did not run yet."""
    return f"/v1/commands/{uuid.uuid4().hex}?wait={wait}"
