"""Flows, driven by hand: what is sent again, what never is, and where a command is resumed."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_tools import ProtocolError, Refused, Unreachable
from sandbox_tools import operations as ops
from sandbox_tools.operations import Emit, Flow, Knowledge, Left, Pause, Recall, Reply, Request
from sandbox_tools.operations import following as follow_module
from sandbox_tools.streaming import END, Position, Skipped
from sandbox_tools_server.wire import MAX_REPLY, CommandReply, CommandStart, FileEdit, TerminalSize

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
            elif isinstance(step, Recall):
                steps.pop()
                step = flow.send(Knowledge("boot", 60.0))
            elif isinstance(step, Emit):
                step = flow.send(None)
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


def printed(offset: int, data: bytes, stream: str = "stdout") -> dict[str, Any]:
    return event("output", stream=stream, offset=offset, data=base64.b64encode(data).decode())


def events(*happened: dict[str, Any], size: int = 0) -> Reply:
    return reply(boot_id="boot", id="i", events=[event("started", at=1.0), *happened], sizes={"stdout": size})


STARTED = event("started", at=1.0)
EXITED = event("exited", code=0, duration=1.0)
START = CommandStart(command="true")


class Told:
    """What was told of a command."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, happened: Any) -> None:
        self.events.append(happened)

    @property
    def output(self) -> bytes:
        return b"".join(event.data for event in self.events if getattr(event, "kind", "") == "output")


def follow(*outcomes: Reply | Exception, **options: Any) -> tuple[list[Any], Any, Told]:
    told = Told()
    steps, end = drive(ops.run_command("i", START, told, **options), *outcomes)
    return [step for step in steps if isinstance(step, Request)], end, told


def body(request: Request) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(request.content or b"")
    return parsed


def test_a_command_is_resumed_at_the_byte_where_it_broke_off() -> None:
    """No byte twice, none lost, whatever the line does."""
    requests, end, told = follow(
        events(printed(0, b"one ")), LOST, events(printed(4, b"two ")), LOST, events(printed(8, b"three"), EXITED)
    )
    assert [request.params["after"] for request in requests] == [0, 4, 4, 8, 8]
    assert {request.path for request in requests} == {"/v1/commands/i"}
    assert (told.output, end.code) == (b"one two three", 0)


def test_output_that_comes_twice_is_taken_once() -> None:
    """A server may send more than it was asked for."""
    _, _, told = follow(events(printed(0, b"abc")), events(printed(0, b"abcd")), events(printed(0, b"abcd"), EXITED))
    assert told.output == b"abcd"


def test_both_streams_are_followed_each_by_its_own_offset() -> None:
    """One of them runs ahead of the other."""
    requests, _, told = follow(
        events(printed(0, b"out"), printed(0, b"e", "stderr")),
        events(printed(0, b"e", "stderr"), printed(3, b"!"), event("gap", stream="stderr", start=1, end=9)),
        events(printed(9, b"r", "stderr"), EXITED),
    )
    assert [(request.params["after"], request.params.get("after_stderr")) for request in requests] == [
        (0, None),
        (3, 1),
        (4, 9),
    ]
    assert [(event.stream, event.data) for event in told.events if event.kind == "output"] == [
        ("stdout", b"out"),
        ("stderr", b"e"),
        ("stdout", b"!"),
        ("stderr", b"r"),
    ]


def test_dropped_output_is_skipped_and_told_once() -> None:
    """And the next request goes on behind the gap."""
    gap = event("gap", start=4, end=100)
    requests, _, told = follow(events(printed(0, b"head"), gap, printed(100, b"tail")), events(gap, EXITED))
    assert (requests[1].params["after"], told.output) == (104, b"headtail")
    assert [event.kind for event in told.events] == ["started", "output", "gap", "output", "exited"]


def test_a_ping_and_a_start_that_was_told_are_not_told() -> None:
    """They are no news."""
    _, _, told = follow(events(event("ping")), events(event("ping"), EXITED))
    assert [event.kind for event in told.events] == ["started", "exited"]


@pytest.mark.parametrize("wrong", [printed(1, b"x"), event("gap", start=0, end=2**63)])
def test_output_that_cannot_follow_is_a_protocol_error(wrong: dict[str, Any]) -> None:
    """Bytes must not be missing without a word, and no offset is without bounds."""
    with pytest.raises(ProtocolError):
        list(Position().take(CommandReply.model_validate_json(events(wrong).content).events))


@pytest.mark.parametrize("first", [events(), LOST])
def test_once_it_was_sent_only_that_server_may_go_on_with_it(first: Reply | Exception) -> None:
    """After a restart of the sandbox the same start must not run anything, whether it was answered before or not."""
    requests, error, _ = follow(first, problem("command_lost", 410, data={"boot_id": "another", "log": "/log"}))
    assert [body(request)["boot_id"] for request in requests] == ["boot", "boot"]
    assert (error.code, error.data["log"]) == ("command_lost", "/log")


@pytest.mark.parametrize("before", [[], [REFUSED]])
def test_a_server_that_was_restarted_before_the_command_was_sent_runs_it(before: list[Exception]) -> None:
    """Nothing can have run under that id, so there is nothing to lose."""
    lost = problem("command_lost", 410, data={"boot_id": "another"})
    requests, end, _ = follow(*before, lost, events(EXITED))
    assert [body(request)["boot_id"] for request in requests[-2:]] == ["boot", "another"]
    assert end.code == 0


def test_a_server_that_is_always_another_one_is_given_up() -> None:
    """Or it would be asked for ever; and one that does not say who it is, at once."""
    lost = problem("command_lost", 410, data={"boot_id": "another"})
    assert follow(lost, lost)[1].code == "command_lost"
    assert follow(problem("command_lost", 410))[1].code == "command_lost"


def test_the_server_is_asked_who_it_is_if_that_is_not_known() -> None:
    """Or a restart in between would go unnoticed, and the command run twice."""
    flow = ops.run_command("i", START, Told())
    assert isinstance(next(flow), Recall)
    asked = flow.send(Knowledge(None, 60.0))
    assert isinstance(asked, Request)
    assert asked.path == "/v1/health"
    started = flow.send(HEALTHY)
    assert isinstance(started, Request)
    assert body(started)["boot_id"] == "b"


def test_a_server_that_never_lets_a_command_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that answers nothing at once is not asked without a pause."""
    monkeypatch.setattr(follow_module, "OVERTIME", -2.0)
    steps, error = drive(ops.run_command("i", CommandStart(command="true", timeout=1), Told()), events(), reply())
    assert ([step.method for step in steps], error.final) == (["PUT", "DELETE"], True)
    steps, end = drive(ops.run_command("i", START, Told()), events(), events(EXITED))
    assert [type(step) for step in steps] == [Request, Pause, Request]
    assert end.code == 0


def test_output_that_is_fetched_late_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader may take its time; the command ended in its own."""
    monkeypatch.setattr(follow_module, "OVERTIME", -2.0)
    start = CommandStart(command="true", timeout=1)
    _, end = drive(ops.run_command("i", start, Told()), events(printed(0, b"x")), events(printed(1, b"y"), EXITED))
    assert end.code == 0


def test_live_events_are_asked_for_one_by_one_and_others_in_bulk() -> None:
    """Nothing is lost either way: the command waits for its reader."""
    requests, _, _ = follow(events(EXITED), live=True)
    assert (requests[0].params["enough"], requests[0].params.get("limit")) == (1, None)
    requests, _, _ = follow(events(EXITED))
    assert (requests[0].params["enough"], requests[0].params.get("limit")) == (MAX_REPLY, None)


def test_an_answer_that_breaks_off_is_asked_for_again_at_once_and_shorter() -> None:
    """A proxy that cuts every connection after some bytes lets the short ones through; the next may be longer again."""
    broken = Unreachable("cut", sent=True, begun=True)
    steps, _ = drive(
        ops.run_command("i", START, Told()), broken, broken, events(printed(0, b"x")), events(printed(1, b"y"), EXITED)
    )
    assert [type(step) for step in steps] == [Request] * 4
    assert [step.params.get("limit", MAX_REPLY) // 1024 for step in steps] == [1024, 512, 256, 320]
    assert all(step.params["enough"] == step.params.get("limit", MAX_REPLY) for step in steps)


def test_an_answer_that_breaks_off_however_short_is_waited_for() -> None:
    """Asking for less would not help any more."""
    steps, _ = drive(
        ops.run_command("i", START, Told()), *[Unreachable("cut", sent=True, begun=True)] * 12, events(EXITED)
    )
    requests = [step for step in steps if isinstance(step, Request)]
    assert [step.params.get("limit", MAX_REPLY) for step in requests[9:]] == [2048, 1024, 1024, 1024]
    assert [type(step) for step in steps[10:]] == [Request, Pause, Request, Pause, Request]


def test_a_line_that_breaks_while_nothing_comes_is_held_for_a_shorter_time() -> None:
    """A proxy that gives up on quiet connections must not look like a sandbox that is gone."""
    requests, _, _ = follow(LOST, LOST, *[events()] * 2, LOST, LOST, LOST, LOST, events(EXITED))
    waits = [float(request.params["wait"]) for request in requests]
    assert waits == pytest.approx([20, 10, 5, 5.5, 6.05, 3.025, 1.5125, 1, 1])  # what gets through may be longer again


def test_a_sandbox_that_stays_away_is_said_with_the_id_of_the_command() -> None:
    """By that it can be attached to later; the command is not ended."""
    requests, error, _ = follow(events(), *[LOST] * 18)
    assert {request.method for request in requests} == {"PUT"}
    assert isinstance(error, Unreachable)
    assert "attach to it by its id, i." in str(error)


@pytest.mark.parametrize("failures", [[GONE], [REFUSED] * 18])
def test_a_command_that_never_arrived_is_not_said_to_run(failures: list[Exception]) -> None:
    """Nothing is there to attach to."""
    _, error, _ = follow(*failures)
    assert "attach" not in str(error)


def test_a_command_that_may_have_arrived_is_said_to_run() -> None:
    """Whatever the last attempt of all came to."""
    _, error, _ = follow(LOST, *[REFUSED] * 17)
    assert "attach" in str(error)
    assert error.sent


INTERRUPTIONS = [KeyboardInterrupt(), Left()]


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=repr)
@pytest.mark.parametrize("outcome", [reply(), problem("internal", 500)])
def test_an_interrupted_command_is_ended(interruption: BaseException, outcome: Reply) -> None:
    """Ctrl-C, a cancelled task and a reader who left must not leave a build running."""
    flow = ops.run_command("i", START, Told())
    next(flow)
    flow.send(Knowledge("boot", 60.0))
    farewell = flow.throw(interruption)
    assert isinstance(farewell, Request)
    assert (farewell.method, farewell.path) == ("DELETE", "/v1/commands/i")
    with pytest.raises(type(interruption)):
        flow.send(outcome)


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=repr)
def test_a_detached_command_is_not_ended(interruption: BaseException) -> None:
    """Somebody else will read on."""
    flow = ops.run_command("i", START, Told(), detach=True)
    next(flow)
    flow.send(Knowledge("boot", 60.0))
    with pytest.raises(type(interruption)):
        flow.throw(interruption)


def test_the_end_of_an_interrupted_command_is_sent_again_for_a_while() -> None:
    """A gateway that hiccups must not keep it alive; one that is gone must not hold up Ctrl-C for long."""
    flow = ops.start_command("i", START)
    next(flow)
    flow.send(Knowledge("boot", 60.0))
    step = flow.throw(KeyboardInterrupt())
    paused = 0.0
    with contextlib.suppress(KeyboardInterrupt):  # it comes through in the end
        while True:
            assert isinstance(step, Request)
            pause = flow.throw(LOST)
            assert isinstance(pause, Pause)
            paused += pause.seconds
            step = flow.send(None)
    assert 10 <= paused < 16


def test_an_error_of_the_listener_ends_the_command() -> None:
    """It comes through as it is, even if it is one of ours: of another call, say."""
    for error in (ZeroDivisionError(), Refused("stale", "No.")):

        def fail(_: object, error: Exception = error) -> None:
            raise error

        flow = ops.run_command("i", START, fail)
        next(flow)
        flow.send(Knowledge("boot", 60.0))
        farewell = flow.send(events())
        assert isinstance(farewell, Request)
        assert farewell.method == "DELETE"
        with pytest.raises(type(error)):
            flow.send(reply())


def test_a_flow_that_is_dropped_ends_quietly() -> None:
    """Garbage collection cannot send requests."""
    flow = ops.run_command("i", START, Told())
    next(flow)
    flow.send(Knowledge("boot", 60.0))
    flow.close()


def test_events_are_emitted_to_whoever_iterates() -> None:
    """One flow serves listeners and loops alike."""
    steps, _ = drive(ops.run_command("i", START, Emit), events(printed(0, b"x"), EXITED))
    assert [step.event.kind for step in steps if isinstance(step, Emit)] == ["started", "output", "exited"]


def test_a_command_is_followed_for_no_longer_than_was_asked() -> None:
    """It goes on; only the caller has waited long enough."""
    for keep in (None, 4000):
        requests, end, told = follow(events(printed(0, b"so far"), size=6), within=0, keep=keep)
        assert (len(requests), end, told.output) == (1, None, b"so far")
        assert requests[0].params["wait"] == 0


# Heads and tails


def test_a_short_output_is_kept_whole_in_one_answer() -> None:
    """The usual command must cost one request."""
    requests, end, told = follow(events(printed(0, b"short"), EXITED, size=5), keep=4000)
    assert (told.output, end.code) == (b"short", 0)
    assert [request.params["limit"] for request in requests] == [1000]
    assert "enough" not in requests[0].params


def test_of_a_long_output_the_middle_is_not_fetched() -> None:
    """A quarter from its start, and when it has exited the rest from its end."""
    requests, end, told = follow(
        events(printed(0, b"h" * 1000), size=1500),
        events(EXITED, size=9000),
        events(printed(6000, b"t" * 3000), EXITED, size=9000),
        keep=4000,
    )
    places = [(request.params["after"], request.params["wait"], request.params.get("limit")) for request in requests]
    assert (places[0][0], places[0][2]) == (0, 1000)
    assert places[1:] == [(END, 0, 0), (6000, 0, None)]
    assert told.events[2] == Skipped(1000, 6000)
    assert (told.output, end.code) == (b"h" * 1000 + b"t" * 3000, 0)


def test_a_command_that_prints_on_after_its_head_is_waited_for() -> None:
    """Without a byte of its output, until it exits."""
    requests, end, told = follow(
        events(printed(0, b"h"), size=1),
        events(size=9),
        events(size=9),
        events(size=9),
        events(EXITED, size=9),
        events(printed(6, b"tai"), size=9),
        events(size=9),
        events(EXITED, size=9),
        keep=4,
    )
    assert [request.params["after"] for request in requests] == [0, 1, END, 1, END, 6, 9, 9]
    assert (told.output, end.code) == (b"htai", 0)
    assert Skipped(1, 6) in told.events


def test_what_was_printed_so_far_is_told_when_the_time_to_follow_is_over() -> None:
    """As its ends, too."""
    requests, end, told = follow(
        events(printed(0, b"h"), size=9),
        events(size=9),
        events(printed(6, b"t"), size=9),
        events(size=9),
        events(printed(7, b"ai"), size=10),
        keep=4,
        within=0,
    )
    assert (told.output, end) == (b"htai", None)
    assert [request.params.get("limit") for request in requests] == [1, 0, 3, 2, 2]


# Input


def fed(*outcomes: Reply | Exception, data: bytes = b"abc") -> list[dict[str, Any]]:
    """The bodies that were sent as input."""
    steps, end = drive(ops.run_command("i", CommandStart(command="cat", stdin="open"), Told(), input=data), *outcomes)
    assert end.code == 0
    return [
        {**body(step), "wait": step.params["wait"]}
        for step in steps
        if isinstance(step, Request) and step.method == "POST"
    ]


def taken(size: int, closed: bool = False) -> Reply:
    return reply(boot_id="boot", id="i", size=size, closed=closed)


def test_input_is_sent_until_all_of_it_is_taken() -> None:
    """What had no room is sent again from there, and a command that does not read is asked less often."""
    sent = fed(events(), taken(1), events(), LOST, taken(1), events(), taken(3, closed=True), events(EXITED))
    assert [(part.get("offset"), base64.b64decode(part["data"]), part["close"], part["wait"]) for part in sent] == [
        (0, b"abc", True, 0.05),
        (1, b"bc", True, 0.05),
        (1, b"bc", True, 0.05),
        (1, b"bc", True, 0.1),
    ]


def test_large_input_goes_in_parts_and_is_closed_with_the_last() -> None:
    """One request must not carry a gigabyte."""
    part = follow_module.INPUT_PART
    sent = fed(events(), taken(part), events(), taken(part + 5, closed=True), events(EXITED), data=b"x" * (part + 5))
    assert [(len(base64.b64decode(one["data"])), one.get("close", False)) for one in sent] == [(part, False), (5, True)]


def test_a_command_that_reads_no_further_is_followed_all_the_same() -> None:
    """`head -1` has what it wants."""
    fed(events(), problem("input_closed"), events(), events(EXITED))


def test_any_other_refusal_of_input_is_raised() -> None:
    """The server that the command ran on is gone, say."""
    start = CommandStart(command="cat", stdin="open")
    _, error = drive(ops.run_command("i", start, Told(), input=b"x"), events(), problem("unknown_command", 404))
    assert error.code == "unknown_command"


def test_input_of_a_job_goes_on_where_the_last_ended() -> None:
    """Whoever sent it; and all of it is sent before the call ends."""
    steps, answer = drive(ops.send_input("i", b"abc"), taken(10), taken(12), taken(13))
    assert [(body(step).get("offset", 0), base64.b64decode(body(step).get("data", ""))) for step in steps] == [
        (0, b""),
        (10, b"abc"),
        (12, b"c"),
    ]
    assert answer.size == 13
    steps, _ = drive(ops.send_input("i", b"abc", offset=2, close=True), taken(5), taken(5, closed=True))
    assert [body(step)["close"] for step in steps] == [True, True]


def test_a_job_that_does_not_read_is_given_up_when_that_was_asked() -> None:
    """The answer tells how far it came."""
    steps, answer = drive(ops.send_input("i", b"abc", offset=0, within=0), taken(1))
    assert (len(steps), steps[0].params["wait"], answer.size) == (1, 0, 1)


@pytest.mark.parametrize("size", [-1, 2**63])
def test_input_that_is_said_to_be_where_it_cannot_be_is_a_protocol_error(size: int) -> None:
    """A slice from there would be another input."""
    _, error = drive(ops.send_input("i", b"abc", offset=0), taken(size))
    assert isinstance(error, ProtocolError)


# Jobs


def test_a_poll_is_one_answer_and_moves_the_position() -> None:
    """It starts nothing."""
    position = Position(5)
    steps, told = drive(
        ops.poll_command("i", position, wait=3, enough=1, exited=True), events(printed(5, b"xy"), EXITED, size=9)
    )
    assert (steps[0].method, steps[0].content) == ("GET", None)
    assert steps[0].params == {"after": 5, "wait": 3, "enough": 1, "exited": "true"}
    assert ([event.kind for event in told], position.offset) == (["started", "output", "exited"], 7)
    assert position.size == 9


def test_a_wait_fetches_no_output() -> None:
    """It may be gigabytes."""
    steps, exited = drive(ops.wait_command("i"), events(), events(EXITED))
    assert exited
    assert [(step.params["after"], step.params["limit"]) for step in steps] == [(END, 0), (END, 0)]
    _, exited = drive(ops.wait_command("i", 0), events())
    assert not exited


KILLED = {"boot_id": "b", "id": "i", "result": "killed"}
RUNS = {"boot_id": "b", "id": "i", "events": [], "sizes": {}}


@pytest.mark.parametrize(
    ("flow", "place", "answer"),
    [
        (lambda: ops.end_command("a b"), ("DELETE", "/v1/commands/a%20b"), KILLED),
        (lambda: ops.resize_terminal("i", TerminalSize(rows=2)), ("PUT", "/v1/commands/i/terminal"), {"rows": 2}),
        (lambda: ops.start_command("\ud800", START), ("PUT", "/v1/commands/%3F"), RUNS),
    ],
)
def test_each_request_goes_where_the_command_is(
    flow: Callable[[], Flow[Any]], place: tuple[str, str], answer: dict[str, Any]
) -> None:
    """Whatever stands in its id."""
    [step], _ = drive(flow(), reply(**answer))
    assert (step.method, step.path) == place
