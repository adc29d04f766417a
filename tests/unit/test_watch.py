"""A job's output, followed by hand: what is asked for, and that nothing a server answers makes it ask without end."""

from __future__ import annotations

import base64
from typing import Any

from sandbox_tools.operations import Flow, Pause, Reply, Request
from sandbox_tools.tools.known_jobs import KnownJob
from sandbox_tools.tools.watch import HEAD, TAIL, Watch
from sandbox_tools_server.wire import CommandReply

MIB = 1024 * 1024


class Server:
    """Answers each request with what is kept of an output: all of it, or as much as the request wants."""

    def __init__(self, output: bytes, told: int | None = None) -> None:
        self.output = output
        self.told = len(output) if told is None else told
        self.requests: list[Request] = []
        self.pauses = 0

    def drive(self, flow: Flow[Any]) -> Any:
        try:
            step = next(flow)
            while True:
                step = flow.send(self.perform(step))
        except StopIteration as end:
            return end.value

    def perform(self, step: Any) -> Reply | None:
        if isinstance(step, Pause):
            self.pauses += 1
            return None
        assert isinstance(step, Request)
        self.requests.append(step)
        start = int(step.params["after"])
        data = self.output[start : start + int(step.params.get("limit", MIB))]
        events = [{"kind": "output", "offset": start, "data": base64.b64encode(data).decode()}] if data else []
        reply = CommandReply.model_validate(
            {"boot_id": "b", "id": "i", "events": events, "sizes": {"stdout": self.told}}
        )
        return Reply(200, {}, reply.model_dump_json().encode())


def test_a_server_that_answers_at_once_with_nothing_is_asked_with_pauses() -> None:
    """A tight loop would take a processor of each side for minutes."""
    server = Server(b"")
    server.drive(Watch("i", KnownJob()).wait(0.05))
    assert server.pauses == len(server.requests) > 0


def test_the_middle_of_very_much_is_not_fetched() -> None:
    """An answer shows its two ends only."""
    server = Server(bytes(20 * MIB))
    watch = Watch("i", KnownJob(offset=MIB))
    server.drive(watch.look())
    server.drive(watch.all_new())
    assert [request.params["after"] for request in server.requests] == [MIB, 20 * MIB - TAIL, 20 * MIB - TAIL + MIB]
    assert [request.params.get("limit", MIB) for request in server.requests] == [HEAD, MIB, MIB]
    assert watch.printed.offset == 20 * MIB


def test_a_server_that_has_less_than_it_says_is_not_asked_for_ever() -> None:
    """What a sandbox says is not to be trusted."""
    server = Server(b"abc", told=MIB)
    watch = Watch("i", KnownJob())
    server.drive(watch.look())
    server.drive(watch.all_new())
    assert len(server.requests) == 2
    assert (watch.printed.text.render(), watch.printed.offset) == ("abc", 3)
