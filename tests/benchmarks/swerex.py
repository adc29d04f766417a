"""SWE-ReX, the nearest neighbour that is on PyPI, in an environment of its own: made when it is first needed."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv
from measure import Contender
from raw import RawClient

VERSION = "1.4.0"
HOME = Path(__file__).parents[2] / ".tools" / f"swe-rex-{VERSION}"
PACKAGES = (f"swe-rex=={VERSION}", "aiohttp")  # it needs aiohttp and does not say so
HOST = "127.0.0.1"
TOKEN = "token"
HEADER = f"X-API-Key: {TOKEN}"
PATH = "/execute"
NAME = f"swe-rex {VERSION}"


@dataclass
class SweRex:
    """Its server, or what keeps it from running.

    Attributes:
        missing: why it does not run; empty if it does.
        address: `HOST:PORT`.
        pid: of the server.
        client: a connection that is kept.
    """

    missing: str = ""
    address: str = ""
    pid: int = 0
    client: RawClient | None = None

    def execute(self, command: str) -> bytes:
        """Run a command with bash, and fetch what it printed."""
        assert self.client is not None
        return self.client.send("POST", PATH, body(command))

    def execute_anew(self, command: str) -> bytes:
        """The same over a new connection: an old one is closed after five idle seconds."""
        with RawClient(self.address, HEADER) as client:
            return client.send("POST", PATH, body(command))

    def contender(self, what: str, act: Callable[[], object]) -> Contender:
        """A line of the table."""
        if self.missing:
            return Contender(f"{NAME} cannot be had: {self.missing}", None)
        return Contender(f"{NAME}, {what}", act)


def body(command: str) -> str:
    """What to post for a command."""
    return json.dumps({"command": ["bash", "-c", command], "merge_output_streams": True})


@contextlib.contextmanager
def swe_rex(environment: Mapping[str, str]) -> Generator[SweRex]:
    """Its server, whose commands have some environment."""
    try:
        _install()
    except (OSError, subprocess.CalledProcessError) as error:
        yield SweRex(str(getattr(error, "stderr", None) or error).strip().splitlines()[-1].strip())
        return
    port = _free_port()
    command = [HOME / "bin" / "swerex-remote", "--host", HOST, "--port", str(port), "--auth-token", TOKEN]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            address = f"{HOST}:{port}"
            with _connect(address, process) as client:
                yield SweRex(address=address, pid=process.pid, client=client)
        finally:
            process.terminate()


def _install() -> None:
    if (HOME / "bin" / "swerex-remote").exists():
        return
    tool = uv.find_uv_bin()
    python = HOME / "bin" / "python"
    for command in (
        [tool, "venv", "--quiet", "--clear", "--python", sys.executable, HOME],
        [tool, "pip", "install", "--quiet", "--python", python, *PACKAGES],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _connect(address: str, process: subprocess.Popen[bytes]) -> RawClient:
    """Connect as soon as somebody listens."""
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            return RawClient(address, HEADER)
        time.sleep(0.05)
    raise RuntimeError("swerex-remote ended at once")
