"""The least that a server on the same stack can do: Starlette with one route. `python bare.py FD` is the server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@contextmanager
def bare_server() -> Generator[str]:
    """The path of the socket that it listens on."""
    with tempfile.TemporaryDirectory(prefix="bare-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "socket")
        listener.bind(path)
        listener.listen()
        fd = listener.fileno()
        with subprocess.Popen([sys.executable, __file__, str(fd)], stdin=subprocess.PIPE, pass_fds=[fd]):
            yield path  # at the end its stdin is closed, by which it ends


async def health(request: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


def _serve(fd: int) -> None:
    threading.Thread(target=_end_with_owner, daemon=True).start()
    app = Starlette(routes=[Route("/v1/health", health)])
    uvicorn.run(app, fd=fd, access_log=False, log_level="warning", server_header=False, timeout_keep_alive=600)


def _end_with_owner() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
