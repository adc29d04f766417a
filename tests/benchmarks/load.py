"""Processes that do as much as they can in a given time, and what they did.

`python load.py spawn SECONDS` starts shells; `python load.py ask SECONDS SOCKET CONNECTIONS` has a server start them,
with the token on stdin. Both print how many ended.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import uvloop
from raw import new_command, request

SECONDS = 1.0


def spawn_alone() -> float:
    """Seconds for each command, if the machine does nothing else: one process for each processor starts shells."""
    return SECONDS / sum(_counts([["spawn"]] * (os.cpu_count() or 1)))


def ask(socket: str, token: str, connections: int) -> float:
    """Seconds for each command, if a server is asked for them over some connections at once."""
    return SECONDS / sum(_counts([["ask", socket, str(connections)]], token))


def _counts(jobs: list[list[str]], token: str = "") -> list[int]:
    """Run jobs side by side."""
    commands = [[sys.executable, __file__, job[0], str(SECONDS), *job[1:]] for job in jobs]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands
    ]
    return [int(process.communicate(token)[0]) for process in processes]


def bare_spawn() -> None:
    """Run `bash -c true` as cheaply as Python can."""
    with subprocess.Popen(
        ["bash", "-c", "true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        process.wait()


def _spawn_until(deadline: float) -> int:
    count = 0
    while time.monotonic() < deadline:
        bare_spawn()
        count += 1
    return count


async def _ask_until(deadline: float, socket: str, headers: str) -> int:
    """Ask over one connection."""
    reader, writer = await asyncio.open_unix_connection(socket)
    count = 0
    while time.monotonic() < deadline:
        writer.write(request("PUT", new_command(), headers, '{"command":"true"}'))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(None, 1)[0]))
        count += 1
    writer.close()
    return count


async def _ask_all(seconds: float, socket: str, connections: int, token: str) -> int:
    headers = f"host: sandbox\r\nx-sandbox-authorization: Bearer {token}\r\n"
    deadline = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_ask_until(deadline, socket, headers) for _ in range(connections))))


def _main(kind: str, seconds: str, *more: str) -> int:
    if kind == "spawn":
        return _spawn_until(time.monotonic() + float(seconds))
    socket, connections = more
    return uvloop.run(_ask_all(float(seconds), socket, int(connections), sys.stdin.read()))


if __name__ == "__main__":
    print(_main(*sys.argv[1:]))
