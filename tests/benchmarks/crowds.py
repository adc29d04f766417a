"""Many commands at once: how many a second, and whether one is held up by the others."""

from __future__ import annotations

import functools
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import load
import swerex
from measure import Benchmark, Contender
from ours import address_of, connect, environment_of, token_header
from raw import head, new_command
from swerex import swe_rex

from sandbox_tools import Sandbox

SLEEPERS = 64

PROCESSORS = os.cpu_count() or 1

AS_OFTEN = 1 / 0.7
"""The target: at least 0.7 times as many commands a second as the machine can start."""


@contextmanager
def rate(processes: int, connections: Sequence[int]) -> Generator[Sequence[Contender]]:
    with Sandbox.local() as sandbox:
        environment = environment_of(sandbox)
        ask = functools.partial(load.ask, address_of(sandbox), head(token_header(sandbox)))
        true = ("PUT", f"/v1/commands/{load.ANEW}?wait=20", '{"command":"true"}')
        with swe_rex(environment) as other:
            ask_other = functools.partial(load.ask, other.address, head(swerex.HEADER))
            true_other = ("POST", swerex.PATH, swerex.body("true"))
            yield [
                Contender(f"Popen, processes: {processes}", lambda: load.spawn_alone(environment, processes)),
                *(
                    Contender(f"our server, connections: {n}", functools.partial(ask, n, *true), target=AS_OFTEN)
                    for n in connections
                ),
                *(
                    other.contender(f"connections: {n}", functools.partial(ask_other, n, *true_other))
                    for n in connections
                ),
            ]


@contextmanager
def crowd() -> Generator[Sequence[Contender]]:
    with Sandbox.local() as idle, Sandbox.local() as crowded, connect(idle) as one, connect(crowded) as other:
        for _ in range(SLEEPERS):
            other.send("PUT", new_command(wait=0), '{"command":"sleep 600"}')
        yield [
            Contender("our server, raw client", lambda: one.run("true")),
            Contender(f"the same, beside {SLEEPERS} that sleep", lambda: other.run("true"), limit=0.1),
        ]


BENCHMARKS = {
    "turns": Benchmark("run `true` again and again", lambda: rate(1, [1]), rounds=5, warm_up=0),
    "rate": Benchmark("run `true` as often as possible", lambda: rate(PROCESSORS, [8, 64]), rounds=5, warm_up=0),
    "crowd": Benchmark("run `true` in a crowd", crowd, rounds=500, warm_up=20),
}
