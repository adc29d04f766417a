"""Processes that do as much as they can in a given time, and what they did.

`python load.py spawn SECONDS` starts shells; `python load.py ask SECONDS ADDRESS CONNECTIONS METHOD PATH BODY` has a
server start them, with the headers of its requests on stdin. Both print how many ended.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping

import uvloop
from raw import content_length, request

SECONDS = 1.0

ANEW = "{anew}"
"""Stands in a path for an id that is new in each request."""


def spawn_alone(environment: Mapping[str, str], processes: int) -> float:
    """Seconds for each command, if the machine does nothing else than to start shells, from some processes."""
    return SECONDS / sum(_counts([["spawn"]] * processes, environment=environment))


def ask(address: str, headers: str, connections: int, method: str, path: str, body: str) -> float:
    """Seconds for each command, if a server is asked for them over some connections at once."""
    return SECONDS / sum(_counts([["ask", address, str(connections), method, path, body]], headers))


def _counts(jobs: list[list[str]], input: str = "", environment: Mapping[str, str] | None = None) -> list[int]:
    """Run jobs side by side."""
    commands = [[sys.executable, __file__, job[0], str(SECONDS), *job[1:]] for job in jobs]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for command in commands
    ]
    return [int(process.communicate(input)[0]) for process in processes]


def bare_spawn(environment: Mapping[str, str] | None = None) -> None:
    """Run `bash -c true` as cheaply as Python can."""
    with subprocess.Popen(
        ["bash", "-c", "true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
    ) as process:
        process.wait()


def _spawn_until(deadline: float) -> int:
    count = 0
    while time.monotonic() < deadline:
        bare_spawn()
        count += 1
    return count


async def _ask_until(deadline: float, address: str, headers: str, method: str, path: str, body: str) -> int:
    """Ask over one connection."""
    if address.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address.split(":"))
    count = 0
    while time.monotonic() < deadline:
        writer.write(request(method, path.replace(ANEW, uuid.uuid4().hex), headers, body))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(content_length(head))
        count += 1
    writer.close()
    return count


async def _ask_all(seconds: float, address: str, connections: int, headers: str, *what: str) -> int:
    deadline = time.monotonic() + seconds
    counts = (_ask_until(deadline, address, headers, *what) for _ in range(connections))
    return sum(await asyncio.gather(*counts))


def _main(kind: str, seconds: str, *more: str) -> int:
    if kind == "spawn":
        return _spawn_until(time.monotonic() + float(seconds))
    address, connections, *what = more
    return uvloop.run(_ask_all(float(seconds), address, int(connections), sys.stdin.read(), *what))


if __name__ == "__main__":
    print(_main(*sys.argv[1:]))
