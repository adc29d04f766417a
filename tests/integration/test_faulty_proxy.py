"""A line on which everything goes wrong: each command still runs once, and each of its bytes arrives once."""

from __future__ import annotations

import collections
import contextlib
import random
import select
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox_tools import Sandbox
from tests.conftest import RunningServer

COMMANDS = 200

GATEWAY_TIMEOUT = 0.1
"""How long the proxy waits for an answer before it answers itself, in seconds."""

PAGE = b"<html><h1>502 Bad Gateway</h1></html>"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(PAGE) + PAGE

FAULTS = {"none": 14, "hang up": 1, "bad gateway": 1, "stall": 1, "lose the answer": 1, "reset": 1}
"""What happens to a request, and how often in comparison."""


class FaultyProxy:
    """Passes requests on until a fault befalls one, or the connection has carried some random number of bytes."""

    def __init__(self, server: RunningServer) -> None:
        self.target = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.random = random.Random(1)
        self.happened: collections.Counter[str] = collections.Counter()
        self.closed = threading.Event()
        self.threads = [threading.Thread(target=self.serve)]
        self.threads[0].start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self.listener.accept()
                self.threads.append(threading.Thread(target=self.relay, args=(client,)))
                self.threads[-1].start()

    def relay(self, client: socket.socket) -> None:
        """Serve one connection until it is cut."""
        left = int(10 ** self.random.uniform(3, 6))
        with client, socket.create_connection(self.target) as server, contextlib.suppress(OSError):
            while left > 0 and (request := message(client)):
                [fault] = self.random.choices([*FAULTS], [*FAULTS.values()])
                if fault != "none":
                    self.befall(fault, request, client, server)
                    return
                server.sendall(request)
                answer = message(server)
                client.sendall(answer[:left])
                left -= len(answer)
            self.happened["cut"] += left <= 0

    def befall(self, fault: str, request: bytes, client: socket.socket, server: socket.socket) -> None:
        """Let something go wrong with a request. All but one faults come after it was passed on."""
        self.happened[fault] += 1
        if fault == "hang up":
            return
        server.sendall(request)
        if fault == "bad gateway":
            select.select([server], [], [], GATEWAY_TIMEOUT)
            client.sendall(BAD_GATEWAY)
        elif fault == "stall":
            self.closed.wait(self.random.uniform(0.1, 1))
        elif fault == "lose the answer":
            message(server)
        else:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        self.closed.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()


def message(connection: socket.socket) -> bytes:
    """The next request or answer that comes over a connection; empty if none comes."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head = data.partition(b"\r\n\r\n")[0]
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = len(head) + 4 + int(lengths[0].split(b":")[1] if lengths else 0)
    while len(data) < size and (chunk := connection.recv(262144)):
        data += chunk
    return data


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(server)
    yield proxy
    proxy.close()


def lines_of(number: int) -> range:
    """The numbers that a command prints: some 100 KB of them, a few, or none."""
    count = 40_000 + 1_000 * number if number < 12 else number % 10 * 20
    return range(number * 1_000_000, number * 1_000_000 + count)


def test_on_the_worst_of_lines_every_command_runs_once_and_every_byte_arrives(
    server: RunningServer, proxy: FaultyProxy
) -> None:
    """A lost answer must cost neither a second run nor a byte, and none may come twice."""

    def run(number: int) -> None:
        lines = lines_of(number)
        pause = "sleep 0.3;" if number % 7 == 0 else ""
        command = f"echo {number} >> ran; {pause} seq {lines.start} {lines.stop - 1}; exit {number % 3}"
        result = sandbox.run(command)
        assert result.exit_code == number % 3
        assert result.output == "".join(f"{line}\n" for line in lines).encode()

    with Sandbox.connect(proxy.url, token=server.token) as sandbox, ThreadPoolExecutor(16) as threads:
        list(threads.map(run, range(COMMANDS)))
    ran = (server.work_dir / "ran").read_text().split()
    assert sorted(map(int, ran)) == list(range(COMMANDS))
    assert min(proxy.happened[fault] for fault in ("cut", *FAULTS) if fault != "none") >= 5


def test_on_the_worst_of_lines_every_byte_of_input_is_read_once(server: RunningServer, proxy: FaultyProxy) -> None:
    """It may have been taken although no answer says so; sent again, it must not be read again."""

    def run(number: int) -> None:
        given = "".join(f"{line}\n" for line in range(number * 1_000_000, number * 1_000_000 + 50_000)).encode()
        result = sandbox.run(f"tee given{number} | wc -c", input=given)
        assert int(result.output) == len(given)
        assert (server.work_dir / f"given{number}").read_bytes() == given

    with Sandbox.connect(proxy.url, token=server.token) as sandbox, ThreadPoolExecutor(8) as threads:
        list(threads.map(run, range(16)))
