"""One call after the other: what each costs over what nobody can do without."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import httpx
import load
from bare import bare_server
from measure import Benchmark, Contender
from ours import connect, environment_of
from raw import RawClient
from swerex import swe_rex

from sandbox_tools import Sandbox
from sandbox_tools_server.output import number_lines

LINES = "".join(f"{number}: what a line of a source file may be long, more or less\n" for number in range(200))


@contextmanager
def true() -> Generator[Sequence[Contender]]:
    with Sandbox.local() as sandbox, connect(sandbox) as raw:
        environment = environment_of(sandbox)
        with swe_rex(environment) as other:
            yield [
                Contender("Popen, wait", functools.partial(load.bare_spawn, environment)),
                Contender("our server, raw client", lambda: raw.run("true"), target=1.3),
                Contender("sandbox.run", lambda: sandbox.run("true"), target=1.7),
                Contender("sandbox.bash", lambda: sandbox.bash("true")),
                other.contender("raw client", lambda: other.execute("true")),
            ]


@contextmanager
def health() -> Generator[Sequence[Contender]]:
    with (
        bare_server() as bare,
        Sandbox.local() as sandbox,
        RawClient(bare) as bare_raw,
        connect(sandbox) as raw,
        httpx.Client(transport=httpx.HTTPTransport(uds=bare)) as bare_httpx,
    ):
        yield [
            Contender("bare Starlette, raw client", lambda: bare_raw.send("GET", "/v1/health")),
            Contender("our server, raw client", lambda: raw.send("GET", "/v1/health"), target=1.5),
            Contender("bare Starlette, httpx.Client", lambda: bare_httpx.get("http://bare/v1/health")),
        ]


@contextmanager
def read() -> Generator[Sequence[Contender]]:
    with (
        bare_server() as bare,
        Sandbox.local() as sandbox,
        RawClient(bare) as bare_raw,
        connect(sandbox) as raw,
    ):
        assert sandbox.work_dir
        path = os.path.join(sandbox.work_dir, "lines.txt")
        with open(path, "w") as file:
            file.write(LINES)

        def in_process() -> str:
            with open(path) as file:
                return number_lines(file.read().splitlines(), 1)

        yield [
            Contender("bare Starlette's health, raw client", lambda: bare_raw.send("GET", "/v1/health")),
            Contender("open, read and number in process", in_process),
            Contender("our server, raw client", lambda: raw.send("GET", "/v1/files/text?path=lines.txt")),
            Contender("sandbox.read", lambda: sandbox.read("lines.txt")),
        ]


@contextmanager
def start() -> Generator[Sequence[Contender]]:
    def first_answer() -> float:
        start = time.perf_counter()
        with Sandbox.local():
            return time.perf_counter() - start

    yield [
        Contender("import fastapi, uvicorn, uvloop, httptools", _imports("fastapi, uvicorn, uvloop, httptools")),
        Contender("Sandbox.local, to its first answer", first_answer),
    ]


@contextmanager
def imports() -> Generator[Sequence[Contender]]:
    yield [
        Contender("import httpx, pydantic", _imports("httpx, pydantic")),
        Contender("import sandbox_tools", _imports("sandbox_tools"), target=1.25),
        Contender("import httpx, pydantic.main, asyncio", _imports("httpx, pydantic.main, asyncio")),  # what we do use
    ]


def _imports(names: str) -> Callable[[], object]:
    return functools.partial(subprocess.run, [sys.executable, "-c", f"import {names}"], check=True)


BENCHMARKS = {
    "true": Benchmark("run `true`", true, rounds=400, warm_up=20),
    "health": Benchmark("answer a request", health, rounds=2000, warm_up=100),
    "read": Benchmark("read 200 lines", read, rounds=1000, warm_up=50),
    "start": Benchmark("start", start, rounds=10),
    "imports": Benchmark("import, in a new process", imports, rounds=20),
}
