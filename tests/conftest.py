"""What the tests share: real servers, each in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from sandbox_tools import Sandbox
from sandbox_tools.providers import local

COVERAGE = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
"""What lets a child process be measured too; empty unless coverage runs."""


@pytest.fixture(scope="session", autouse=True)
def _measured_servers() -> Iterator[None]:
    """Let the local provider pass on what measures coverage in its server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "PASSED_ON", (*local.PASSED_ON, *COVERAGE))
        yield


@dataclass
class RunningServer:
    """A server as a person would start it: `python -m sandbox_tools_server` with settings in the environment."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    work_dir: Path
    log: Path
    client: httpx.Client = field(init=False)
    clients: list[httpx.Client] = field(default_factory=list[httpx.Client])

    def __post_init__(self) -> None:
        self.client = self.new_client()

    def new_client(self, **headers: str) -> httpx.Client:
        """A bare HTTP client that has the token, unless other headers are given."""
        default = {"x-sandbox-authorization": f"Bearer {self.token}"}
        self.clients.append(httpx.Client(base_url=self.url, headers=headers or default, timeout=60))
        return self.clients[-1]

    def connect(self) -> Sandbox:
        """Our own client."""
        return Sandbox.connect(self.url, token=self.token)

    def stop(self) -> int:
        """Stop it gracefully and return its exit code."""
        for client in self.clients:
            client.close()
        self.process.terminate()
        return self.process.wait(30)


def start_server(folder: Path, **settings: object) -> RunningServer:
    """Start a server on a free port of the loopback interface and wait until it answers."""
    token = secrets.token_hex(16)
    work_dir = folder / "work"
    work_dir.mkdir(exist_ok=True)
    log = folder / "server.log"
    given = {"token": token, "port": free_port(), "work_dir": work_dir, **settings}
    environment = {name: os.environ[name] for name in ("PATH", "HOME")} | COVERAGE
    environment |= {f"SANDBOX_TOOLS_{name.upper()}": str(value) for name, value in given.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox_tools_server"], env=environment, stdout=output, stderr=output, cwd=folder
        )
    server = RunningServer(process, f"http://127.0.0.1:{given['port']}", str(given["token"]), work_dir, log)
    _wait_until_healthy(server)
    return server


WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = itertools.count(20_000 + 500 * (WORKER % 20))
"""Below those that the system gives to clients, and each worker has its own: else two would take the same free one."""


def free_port() -> int:
    """A port that nobody else takes."""
    for port in PORTS:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is no free port")


def _wait_until_healthy(server: RunningServer) -> None:
    transport = httpx.HTTPTransport(retries=8)  # waits longer before each attempt, about 60 s in all
    with httpx.Client(transport=transport) as client:
        assert client.get(f"{server.url}/v1/health").json()["status"] == "ok", server.log.read_text()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Starts servers with settings of one's own, and ends them."""
    servers: list[RunningServer] = []

    def start(**settings: object) -> RunningServer:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(start_server(folder, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that many tests share; each works in files and with ids of its own."""
    server = start_server(tmp_path_factory.mktemp("server"))
    yield server
    assert server.stop() == 0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A local sandbox in a temporary folder."""
    with Sandbox.local() as sandbox:
        yield sandbox
