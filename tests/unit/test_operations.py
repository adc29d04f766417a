"""Flows, driven by hand: what is sent again, what never is, and where a command is resumed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_tools import ProtocolError, Refused, Unreachable
from sandbox_tools import operations as ops
from sandbox_tools.operations import LastBoot, Pause, Reply, Request
from sandbox_tools_server.wire import CommandStart, FileEdit

LOST = Unreachable("the line broke", sent=True)
REFUSED = Unreachable("nobody listens", sent=False)
GONE = Unreachable("nobody ever will", sent=False, final=True)


def reply(status: int = 200, **body: Any) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


def problem(code: str, status: int = 409, **more: Any) -> Reply:
    return reply(status, code=code, detail="No.", hint="Do this.", **more)


def drive(flow: ops.Flow[Any], *outcomes: Reply | Exception) -> tuple[list[Any], Any]:
    """Answer each request with the next outcome: the steps that were taken, and what came of them."""
    steps: list[Any] = []
    waiting = list(outcomes)
    try:
        step = next(flow)
        while True:
            steps.append(step)
            if isinstance(step, Pause):
                step = flow.send(None)
            elif isinstance(step, LastBoot):
                steps.pop()
                step = flow.send("boot")
            else:
                outcome = waiting.pop(0)
                step = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
    except StopIteration as end:
        assert not waiting
        return steps, end.value
    except (Refused, Unreachable, ProtocolError) as error:
        return steps, error


HEALTHY = Reply(200, {}, b'{"status": "ok", "protocol": 1, "boot_id": "b"}')
EDIT = FileEdit(path="f", old_str="a", new_str="b")
EDITED = reply(path="/f", version="v", replacements=1, first_line=1, last_line=1, total_lines=1, diff=[])
WRITTEN = reply(path="/f", version="v", created=True, size=1, lines=1)


def test_what_is_safe_is_sent_until_it_is_answered() -> None:
    """A proxy that drops answers costs a moment, no more."""
    steps, answer = drive(ops.health(), REFUSED, LOST, LOST, HEALTHY)
    assert [type(step) for step in steps] == [Request, Pause, Request, Pause, Request, Pause, Request]
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.1, 0.2, 0.4]
    assert answer.boot_id == "b"


@pytest.mark.parametrize(
    "flow",
    [
        lambda: ops.edit_file(EDIT),
        lambda: ops.write_file("f", None, b"x", None),
        lambda: ops.write_file("f", None, b"x", "v"),
    ],
)
def test_what_may_have_been_done_is_never_sent_again(flow: Callable[[], ops.Flow[Any]]) -> None:
    """An edit that is applied twice is a wrong edit."""
    steps, answer = drive(flow(), LOST)
    assert ([type(step) for step in steps], answer) == ([Request], LOST)


@pytest.mark.parametrize(
    ("flow", "done"), [(lambda: ops.edit_file(EDIT), EDITED), (lambda: ops.write_file("f", None, b"x", None), WRITTEN)]
)
def test_what_certainly_was_not_done_is_sent_again(flow: Callable[[], ops.Flow[Any]], done: Reply) -> None:
    """A connection that was refused carried nothing."""
    steps, answer = drive(flow(), REFUSED, done)
    assert [type(step) for step in steps] == [Request, Pause, Request]
    assert answer.version == "v"


def test_a_sandbox_that_is_gone_is_not_waited_for() -> None:
    """Nobody will listen on a dead local sandbox's socket again."""
    steps, answer = drive(ops.health(), GONE)
    assert (len(steps), answer) == (1, GONE)


def test_patience_ends() -> None:
    """A call that never answers is a hung call."""
    steps, answer = drive(ops.health(), *[LOST] * 18)
    assert answer is LOST
    assert 60 <= sum(step.seconds for step in steps if isinstance(step, Pause)) < 66


def test_a_refusal_carries_its_code_and_what_to_do() -> None:
    """Codes that this client does not know yet included."""
    _, error = drive(ops.health(), problem("brand_new_code", data={"path": "/f"}, retryable=True))
    assert isinstance(error, Refused)
    assert (error.code, error.message, error.hint, error.retryable) == ("brand_new_code", "No.", "Do this.", True)
    assert (str(error), error.data) == ("No. Do this.", {"path": "/f"})


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"status": "ok"}'])
def test_an_answer_that_makes_no_sense_is_a_protocol_error(body: bytes) -> None:
    """Rather than a KeyError somewhere later."""
    _, error = drive(ops.health(), Reply(200, {}, body))
    assert isinstance(error, ProtocolError)


def test_a_redirect_is_no_answer() -> None:
    """It would be taken for an empty file."""
    _, error = drive(ops.read_file("f", None), Reply(302, {}, b""))
    assert isinstance(error, ProtocolError)


def test_a_file_without_its_version_is_a_protocol_error() -> None:
    """Rather than a KeyError."""
    _, error = drive(ops.read_file("f", None), Reply(200, {}, b"x"))
    assert isinstance(error, ProtocolError)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]"])
def test_a_refusal_that_makes_no_sense_is_a_protocol_error(body: bytes) -> None:
    """A status alone is no reason that a program could act on."""
    _, error = drive(ops.health(), Reply(500, {}, body))
    assert isinstance(error, ProtocolError)


def test_a_newer_protocol_is_said_clearly() -> None:
    """Guessing what a newer server means would be silently wrong."""
    _, error = drive(ops.health(), Reply(200, {}, b'{"status": "ok", "protocol": 2, "boot_id": "b"}'))
    assert isinstance(error, ProtocolError)
    assert "upgrade sandbox-tools" in str(error)


# Commands


def event(kind: str, **body: Any) -> dict[str, Any]:
    return {"kind": kind, **body}


def printed(offset: int, data: bytes) -> dict[str, Any]:
    return event("output", offset=offset, data=base64.b64encode(data).decode())


def events(*happened: dict[str, Any]) -> Reply:
    return reply(boot_id="boot", id="i", events=[event("started", at=1.0), *happened])


EXITED = event("exited", code=0, duration=1.0)


def follow(*outcomes: Reply | Exception) -> tuple[list[Any], Any, bytes]:
    output = bytearray()

    def take(happened: Any) -> None:
        if happened.kind == "output":
            output.extend(happened.data)

    steps, end = drive(ops.run_command("i", CommandStart(command="true"), take), *outcomes)
    return [step for step in steps if isinstance(step, Request)], end, bytes(output)


def test_a_command_is_resumed_at_the_byte_where_it_broke_off() -> None:
    """No byte twice, none lost, whatever the line does."""
    requests, end, output = follow(
        events(printed(0, b"one ")), LOST, events(printed(4, b"two ")), LOST, events(printed(8, b"three"), EXITED)
    )
    assert [request.params["after"] for request in requests] == [0, 4, 4, 8, 8]
    assert {request.path for request in requests} == {"/v1/commands/i"}
    assert (output, end.code) == (b"one two three", 0)


def test_output_that_comes_twice_is_taken_once() -> None:
    """A server may send more than it was asked for."""
    _, _, output = follow(events(printed(0, b"abc")), events(printed(0, b"abcd")), events(printed(0, b"abcd"), EXITED))
    assert output == b"abcd"


def test_dropped_output_is_skipped() -> None:
    """And the next request goes on behind the gap."""
    requests, _, output = follow(
        events(printed(0, b"head"), event("gap", start=4, end=100), printed(100, b"tail")), events(EXITED)
    )
    assert (requests[1].params["after"], output) == (104, b"headtail")


@pytest.mark.parametrize("first", [events(), LOST])
def test_once_it_was_sent_only_that_server_may_go_on_with_it(first: Reply | Exception) -> None:
    """After a restart of the sandbox the same start must not run anything, whether it was answered before or not."""
    requests, error, _ = follow(first, problem("command_lost", 410, data={"boot_id": "another"}))
    bodies = [json.loads(request.content) for request in requests]
    assert [body["boot_id"] for body in bodies] == ["boot", "boot"]
    assert error.code == "command_lost"


@pytest.mark.parametrize("before", [[], [REFUSED]])
def test_a_server_that_was_restarted_before_the_command_was_sent_runs_it(before: list[Exception]) -> None:
    """Nothing can have run under that id, so there is nothing to lose."""
    lost = problem("command_lost", 410, data={"boot_id": "another"})
    requests, end, _ = follow(*before, lost, events(EXITED))
    assert [json.loads(request.content)["boot_id"] for request in requests[-2:]] == ["boot", "another"]
    assert end.code == 0


def test_the_server_is_asked_who_it_is_if_that_is_not_known() -> None:
    """Or a restart in between would go unnoticed, and the command run twice."""
    flow = ops.run_command("i", CommandStart(command="true"), lambda _: None)
    assert isinstance(next(flow), LastBoot)
    asked = flow.send(None)
    assert isinstance(asked, Request)
    assert asked.path == "/v1/health"
    started = flow.send(HEALTHY)
    assert isinstance(started, Request)
    assert json.loads(started.content or b"")["boot_id"] == "b"


def test_a_server_that_never_lets_a_command_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that answers nothing at once is not asked without a pause."""
    monkeypatch.setattr(ops, "PATIENCE", -2.0)
    steps, error = drive(ops.run_command("i", CommandStart(command="true", timeout=1), lambda _: None), events())
    assert (len(steps), error.final) == (1, True)
    steps, end = drive(ops.run_command("i", CommandStart(command="true"), lambda _: None), events(), events(EXITED))
    assert [type(step) for step in steps] == [Request, Pause, Request]
    assert end.code == 0


def test_an_interrupted_command_is_ended() -> None:
    """Ctrl-C and a cancelled task must not leave a build running; a second fault on the way is not waited for."""
    for outcome in (reply(), LOST):
        flow = ops.run_command("i", CommandStart(command="true"), lambda _: None)
        next(flow)
        flow.send("boot")
        farewell = flow.throw(KeyboardInterrupt())
        assert isinstance(farewell, Request)
        assert (farewell.method, farewell.path) == ("DELETE", "/v1/commands/i")
        with pytest.raises(KeyboardInterrupt):
            flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)


def test_a_flow_that_is_dropped_ends_quietly() -> None:
    """Garbage collection cannot send requests."""
    flow = ops.run_command("i", CommandStart(command="true"), lambda _: None)
    next(flow)
    flow.send("boot")
    flow.close()
