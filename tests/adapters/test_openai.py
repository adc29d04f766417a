"""The tools with the real openai client, sync and async, against a scripted endpoint that checks what it gets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jsonschema
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionFunctionToolParam, ChatCompletionToolMessageParam
from openai.types.responses import FunctionToolParam, Response
from openai.types.responses.response_input_param import FunctionCallOutput
from openai.types.shared_params import FunctionDefinition
from pydantic import TypeAdapter, ValidationError

from sandbox_tools import ALL_TOOLS, DEFAULT_TOOLS, TOOLS, Sandbox, SandboxClosed, Session, Unreachable
from sandbox_tools_adapters.openai import arun_openai_tool_calls, openai_tools, run_openai_tool_calls, strict_schema

if TYPE_CHECKING:
    from .conftest import BadCall, Job

API = Literal["chat", "responses"]
APIS: list[API] = ["chat", "responses"]
Turn = str | list[tuple[str, Any]]
"""What a model says: a text, or calls (name, arguments)."""

# What the API sends


def completion(turn: Turn) -> dict[str, Any]:
    """A chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": turn if isinstance(turn, str) else None}
    if not isinstance(turn, str):
        message["tool_calls"] = [
            {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": _json(arguments)}}
            for n, (name, arguments) in enumerate(turn)
        ]
    choice = {"index": 0, "finish_reason": "stop" if isinstance(turn, str) else "tool_calls", "message": message}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice]}


def response(turn: Turn) -> dict[str, Any]:
    """A response. Its calls stand between what is no call."""
    said = {"type": "output_text", "text": turn if isinstance(turn, str) else "Let me see.", "annotations": []}
    output: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs_0", "summary": []},
        {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": [said]},
    ]
    if not isinstance(turn, str):
        output += [
            {"type": "function_call", "call_id": f"call_{n}", "name": name, "arguments": _json(arguments)}
            for n, (name, arguments) in enumerate(turn)
        ]
    about = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed"}
    return {"id": "r", "object": "response", "created_at": 0, "model": "scripted", "output": output, **about}


def _json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def turn_of(api: API, turn: Turn) -> dict[str, Any]:
    return completion(turn) if api == "chat" else response(turn)


def text_of(answer: dict[str, Any]) -> str:
    return answer["content" if answer.get("role") == "tool" else "output"]


# The endpoint


def _exact(kind: Any) -> TypeAdapter[Any]:
    """What checks a value by one of the SDK's types, with no key that the type does not have."""
    with pytest.MonkeyPatch.context() as patch:
        for typed_dict in (kind, FunctionDefinition):
            patch.setattr(typed_dict, "__pydantic_config__", {"extra": "forbid"}, raising=False)
        return TypeAdapter(kind)


TOOL = {"chat": _exact(ChatCompletionFunctionToolParam), "responses": _exact(FunctionToolParam)}
ANSWER = {"chat": _exact(ChatCompletionToolMessageParam), "responses": _exact(FunctionCallOutput)}


def check_request(api: API, body: dict[str, Any]) -> None:
    """Refuse what the API would refuse: definitions and answers of another shape, and calls without an answer."""
    for tool in body["tools"]:
        TOOL[api].validate_python(tool)
    open_calls: list[str] = []
    for item in body["messages" if api == "chat" else "input"]:
        if item.get("role") == "tool" or item.get("type") == "function_call_output":
            ANSWER[api].validate_python(item)
            assert item.get("tool_call_id", item.get("call_id")) == open_calls.pop(0), "an answer in the wrong place"
        elif item.get("type") == "function_call":
            open_calls.append(item["call_id"])
        else:
            assert not open_calls, "a call without an answer"
            open_calls = [call["id"] for call in item.get("tool_calls") or []]
    assert not open_calls, "a call without an answer"


class Endpoint:
    """An API with a scripted model, on the loopback interface."""

    def __init__(self) -> None:
        self.turns: Iterator[Turn] = iter(())
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = endpoint.answer(
                    "chat" if self.path.endswith("/chat/completions") else "responses", body
                )
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, api: API, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            check_request(api, body)
        except (AssertionError, IndexError, ValidationError) as error:
            return 400, {"error": {"message": f"{type(error).__name__}: {error}"}}
        return 200, turn_of(api, next(self.turns))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A scripted endpoint; set its `turns`."""
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    thread.join()
    endpoint.server.server_close()


# Agents, as the README of openai would have one write them


def mending(job: Job) -> Iterator[Turn]:
    """A model's turns; null for what is left out, as strict mode has it."""
    run_tests = {"command": job.run_tests, "description": None, "work_dir": None, "timeout": 60}
    edit = {"path": job.module, "old_str": job.wrong, "new_str": job.right, "replace_all": None, "mode": None}
    read = {"path": job.module, "offset": None, "limit": None}
    return iter([[("bash", run_tests), ("read", read)], [("edit", edit)], [("bash", run_tests)], "mended"])


def check_mended(conversation: list[Any], job: Job) -> None:
    job.check_done()
    answers = [item for item in conversation if isinstance(item, dict) and ("content" in item or "output" in item)]
    failed, read, edited, passed = (text_of(answer) for answer in answers[1:])
    assert job.failure in failed
    assert "Exit code 1" in failed
    assert f"     2\t    {job.wrong}" in read
    assert "1 replacement" in edited
    assert "[exit code 0" in passed


@pytest.mark.parametrize("strict", [False, True])
def test_an_agent_mends_a_project_by_chat_completions(
    strict: bool, hands: Sandbox, job: Job, endpoint: Endpoint
) -> None:
    """The whole way, from what the API sends to the file on disk, is what the adapter is for."""
    endpoint.turns = mending(job)
    messages: list[Any] = [{"role": "user", "content": "Mend the project."}]
    tools: Any = openai_tools(strict=strict)
    with OpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client:
        while True:
            message = (
                client.chat.completions.create(model="scripted", messages=messages, tools=tools).choices[0].message
            )
            messages.append(message)
            answers = run_openai_tool_calls(hands, message)
            if not answers:
                break
            messages += answers
    assert message.content == "mended"
    check_mended(messages, job)


@pytest.mark.parametrize("strict", [False, True])
def test_an_agent_mends_a_project_by_responses(strict: bool, hands: Sandbox, job: Job, endpoint: Endpoint) -> None:
    """The other API has other shapes for the tools, the calls and the answers."""
    endpoint.turns = mending(job)
    conversation: list[Any] = [{"role": "user", "content": "Mend the project."}]
    tools: Any = openai_tools("responses", strict=strict)
    with OpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client:
        while True:
            answer = client.responses.create(model="scripted", input=conversation, tools=tools)
            conversation += answer.output
            results = run_openai_tool_calls(hands, answer)
            if not results:
                break
            conversation += results
    assert answer.output_text == "mended"
    check_mended(conversation, job)


async def test_an_agent_mends_a_project_by_chat_completions_in_a_task(
    hands: Sandbox, job: Job, endpoint: Endpoint
) -> None:
    """Nothing on the way may block the event loop of an async agent."""
    endpoint.turns = mending(job)
    messages: list[Any] = [{"role": "user", "content": "Mend the project."}]
    tools: Any = openai_tools("chat")
    async with AsyncOpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client:
        while True:
            answer = await client.chat.completions.create(model="scripted", messages=messages, tools=tools)
            messages.append(answer.choices[0].message)
            results = await arun_openai_tool_calls(hands, answer)
            if not results:
                break
            messages += results
    check_mended(messages, job)


async def test_an_agent_mends_a_project_by_responses_in_a_task(hands: Sandbox, job: Job, endpoint: Endpoint) -> None:
    """Nothing on the way may block the event loop of an async agent."""
    endpoint.turns = mending(job)
    conversation: list[Any] = [{"role": "user", "content": "Mend the project."}]
    tools: Any = openai_tools("responses")
    async with AsyncOpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client:
        while True:
            answer = await client.responses.create(model="scripted", input=conversation, tools=tools)
            conversation += answer.output
            results = await arun_openai_tool_calls(hands, answer.output)
            if not results:
                break
            conversation += results
    check_mended(conversation, job)


def test_strict_tools_are_good_enough_for_parse(hands: Sandbox, endpoint: Endpoint) -> None:
    """The SDK's `parse` takes strict tools only, and gives a message of its own kind back."""
    endpoint.turns = iter(
        [[("bash", {"command": "echo hello", "description": None, "work_dir": None, "timeout": None})]]
    )
    tools: Any = openai_tools(strict=True)
    with OpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client:
        parsed = client.chat.completions.parse(
            model="scripted", messages=[{"role": "user", "content": "Say hello."}], tools=tools
        )
    assert "hello" in run_openai_tool_calls(hands, parsed)[0]["content"]


# Definitions


@pytest.mark.parametrize("api", APIS)
def test_definitions_have_the_shape_of_their_api(api: API) -> None:
    """The API answers 400 to anything else, at the first request of an agent."""
    assert [tool["name"] for tool in openai_tools("responses")] == list(DEFAULT_TOOLS)
    for strict in (False, True):
        tools = openai_tools(api, strict=strict, names=ALL_TOOLS)
        assert [tool["function"]["name"] if api == "chat" else tool["name"] for tool in tools] == list(ALL_TOOLS)
        for tool in tools:
            TOOL[api].validate_python(tool)
            assert json.loads(json.dumps(tool)) == tool
            function = tool["function"] if api == "chat" else tool
            assert function.get("strict", False) is strict


@pytest.mark.parametrize("name", TOOLS)
def test_a_schema_that_is_not_strict_is_the_tools_own(name: str) -> None:
    """What the model is told and what the core accepts are one thing."""
    assert openai_tools(names=[name])[0]["function"]["parameters"] == TOOLS[name].parameters
    assert openai_tools("responses", names=[name])[0]["parameters"] == TOOLS[name].parameters


@pytest.mark.parametrize("name", TOOLS)
def test_a_strict_schema_requires_all_and_lets_a_model_leave_out_what_is_optional(name: str) -> None:
    """Strict mode makes everything required; without null the model would have to invent a value."""
    schema = openai_tools(strict=True, names=[name])[0]["function"]["parameters"]
    own = TOOLS[name].parameters
    assert schema["required"] == list(own["properties"])
    assert schema["additionalProperties"] is False
    optional = set(own["properties"]) - set(own["required"])
    for key, rules in schema["properties"].items():
        assert set(rules) <= {"type", "description", "enum"}
        assert ("null" in rules["type"]) is (key in optional)
        assert ("default" in rules["description"]) is (key in optional)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({key: None if key in optional else "x" for key in own["properties"]}, schema)


def test_a_strict_schema_goes_all_the_way_down() -> None:
    """Strict mode asks the same of every object inside."""
    item = {
        "type": "object",
        "required": ["old"],
        "additionalProperties": False,
        "properties": {
            "old": {"type": "string", "description": "Old.", "minLength": 1},
            "mode": {"type": "string", "description": "How.", "enum": ["a", "b"], "default": "a"},
        },
    }
    rules = {"type": "array", "description": "Some.", "items": item, "minItems": 1}
    schema = {"type": "object", "required": ["edits"], "additionalProperties": False, "properties": {"edits": rules}}
    strict_item = {
        "type": "object",
        "required": ["old", "mode"],
        "additionalProperties": False,
        "properties": {
            "old": {"type": "string", "description": "Old."},
            "mode": {
                "type": ["string", "null"],
                "description": "How. Pass null to leave it out.",
                "enum": ["a", "b", None],
            },
        },
    }
    before = json.dumps(schema)
    strict = strict_schema(schema)
    assert strict["properties"]["edits"] == {"type": "array", "description": "Some.", "items": strict_item}
    assert json.dumps(schema) == before


def test_a_map_with_any_keys_cannot_be_strict() -> None:
    """The API would refuse it, and to close it in silence would change what the tool takes."""
    rules = {"type": "object", "description": "Variables.", "additionalProperties": {"type": "string"}}
    schema = {"type": "object", "required": [], "additionalProperties": False, "properties": {"env": rules}}
    with pytest.raises(ValueError, match="additionalProperties: false"):
        strict_schema(schema)


def test_definitions_are_copies() -> None:
    """A framework that changes a schema in place must not change what the core validates by."""
    for strict in (False, True):
        openai_tools(strict=strict)[0]["function"]["parameters"]["properties"]["command"]["type"] = "integer"
    assert TOOLS["bash"].parameters["properties"]["command"]["type"] == "string"


def test_tools_can_be_chosen() -> None:
    """Not every agent shall write."""
    assert [tool["name"] for tool in openai_tools("responses", names=["read", "bash"])] == ["read", "bash"]


def test_a_slip_in_the_choice_is_an_error() -> None:
    """It should be found when the agent starts."""
    with pytest.raises(ValueError, match=r"There is no tool 'grep'\. There are: bash, read, write, edit"):
        openai_tools(names=["grep"])
    with pytest.raises(ValueError, match=r"There is no API 'completions'\. There are: chat, responses"):
        openai_tools("completions")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Calls


async def both(hands: Sandbox | Session, source: object) -> list[dict[str, Any]]:
    """What both twins answer, which must be the same."""
    answers = run_openai_tool_calls(hands, source)
    assert await arun_openai_tool_calls(hands, source) == answers
    return answers


SOURCES: dict[str, Callable[[Turn], object]] = {
    "completion": lambda turn: ChatCompletion.model_validate(completion(turn)),
    "completion as a dict": completion,
    "message": lambda turn: ChatCompletion.model_validate(completion(turn)).choices[0].message,
    "message as a dict": lambda turn: completion(turn)["choices"][0]["message"],
    "response": lambda turn: Response.model_validate(response(turn)),
    "response as a dict": response,
    "output": lambda turn: Response.model_validate(response(turn)).output,
    "output as dicts": lambda turn: response(turn)["output"],
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_calls_are_found_in_all_that_the_api_sends(source: Callable[[Turn], object], hands: Sandbox) -> None:
    """People pass what they have at hand: an object of the SDK, or the dict they keep in their database."""
    hands.files.write("a.txt", b"one\n")
    answers = await both(hands, source([("read", {"path": "a.txt"}), ("read", {"path": "a.txt", "limit": 1})]))
    assert [text_of(answer).split() for answer in answers] == [["1", "one"], ["1", "one"]]
    assert [answer.get("tool_call_id", answer.get("call_id")) for answer in answers] == ["call_0", "call_1"]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_a_turn_without_calls_needs_no_answer(source: Callable[[Turn], object], nowhere: Session) -> None:
    """That is how a loop knows that the model is done."""
    assert await both(nowhere, source("done")) == []


async def test_a_completion_without_a_choice_has_no_calls(nowhere: Session) -> None:
    """Some servers send none if a filter took the answer away."""
    assert await both(nowhere, {**completion("x"), "choices": []}) == []


@pytest.mark.parametrize("api", APIS)
async def test_a_bad_call_is_one_sentence_and_sends_nothing(api: API, bad_call: BadCall, nowhere: Session) -> None:
    """The API promises nothing about arguments unless strict mode is on."""
    answers = await both(nowhere, turn_of(api, [(bad_call.tool, bad_call.arguments)]))
    assert len(answers) == 1
    ANSWER[api].validate_python(answers[0])
    bad_call.check(text_of(answers[0]), nowhere)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"command": "echo "hello""}', "not valid JSON (Expecting ',' delimiter: line 1 column 20"),
        ('{"command": "ls', "not valid JSON (Unterminated string"),
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"timeout": ' + "9" * 10_000 + "}", "not valid JSON"),
        ('["ls"]', 'bash: the arguments must be a JSON object, not ["ls"]'),
        ('"ls"', 'bash: the arguments must be a JSON object, not "ls"'),
        ("null", "'command' is missing"),
        ('{"command": "ls", "timeout": NaN}', "'timeout' must be a whole number, not NaN"),
        ('{"command": "ls", "\\ud800": 1}', "bash has no argument '\\ud800'"),
        ('{"command": "\\ud800"}', "half of a surrogate pair"),
    ],
)
@pytest.mark.parametrize("api", APIS)
async def test_arguments_that_are_no_object_are_one_sentence(
    api: API, arguments: str, words: str, nowhere: Session
) -> None:
    """Models break off in the middle, forget to escape, and send lists; the answer must let them try again."""
    text = text_of((await both(nowhere, turn_of(api, [("bash", arguments)])))[0])
    assert text.startswith("ERROR: ")
    assert "\n" not in text
    assert words in text
    text.encode()


async def test_arguments_that_are_an_object_already_are_taken(hands: Sandbox) -> None:
    """Some servers that speak like OpenAI do not send text there, and leave the type out."""
    message = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "function": {"name": "bash", "arguments": {"command": "id"}}}],
    }
    assert "uid=" in run_openai_tool_calls(hands, message)[0]["content"]


@pytest.mark.parametrize("api", APIS)
async def test_a_session_with_more_tools_carries_out_their_calls(api: API, hands: Sandbox) -> None:
    """The definitions say nothing of a session: whoever shows a model more tools must let it call them."""
    background: Turn = [("bash", {"command": "echo one; sleep 300", "background": True})]
    session = hands.new_session(tools=ALL_TOOLS)
    (started,) = await arun_openai_tool_calls(session, turn_of(api, background))
    (job,) = re.findall('job "([0-9a-f]+)" runs', text_of(started))
    turn: Turn = [("bash_output", {"job": job, "since": 0}), ("bash_kill", {"job": job})]
    shown, ended = run_openai_tool_calls(session, turn_of(api, turn))
    assert text_of(shown).startswith("one\n[job ")
    assert text_of(ended).startswith(f'Ended job "{job}"')
    refused, unknown = await both(hands, turn_of(api, [*background, *turn[:1]]))
    assert "bash has no argument 'background'" in text_of(refused)
    assert text_of(unknown) == "ERROR: There is no tool 'bash_output'. There are: bash, read, write, edit."


@pytest.mark.parametrize("api", APIS)
async def test_an_unknown_tool_is_one_sentence(api: API, nowhere: Session) -> None:
    """Models make names up, most of all those they were trained with."""
    text = text_of((await both(nowhere, turn_of(api, [("str_replace_editor", {"command": "view"})])))[0])
    assert text == "ERROR: There is no tool 'str_replace_editor'. There are: bash, read, write, edit."


async def test_calls_of_other_kinds_are_left_to_the_caller(nowhere: Session) -> None:
    """An agent may have tools of its own that are no functions, and answers for them itself."""
    custom = {"id": "1", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    assert await both(nowhere, {"role": "assistant", "tool_calls": [custom]}) == []
    assert await both(nowhere, [{"type": "custom_tool_call", "call_id": "1", "name": "shell", "input": "ls"}]) == []


@pytest.mark.parametrize("wrong", [None, "text", 5, {"id": "x"}, {"choices": [{"delta": {}}]}])
async def test_what_is_no_message_is_an_error(wrong: object, nowhere: Session) -> None:
    """To answer nothing would look like a model that is done."""
    with pytest.raises(TypeError, match="Pass a chat completion or its message, or a response or its output, not "):
        run_openai_tool_calls(nowhere, wrong)
    with pytest.raises(TypeError, match="Pass a chat completion or its message, or a response or its output, not "):
        await arun_openai_tool_calls(nowhere, wrong)


async def test_calls_of_a_turn_are_carried_out_in_their_order(hands: Sandbox) -> None:
    """Models change a file and run it in one turn, and expect what a reader of that turn would expect."""
    slow_look = {"command": "sleep 0.2; cat a.txt"}
    calls: Turn = [
        ("write", {"path": "a.txt", "content": "one\n"}),
        ("bash", slow_look),
        ("edit", {"path": "a.txt", "old_str": "one", "new_str": "two"}),
        ("edit", {"path": "a.txt", "old_str": "two", "new_str": "three"}),
        ("bash", slow_look),
        ("read", {"path": "a.txt"}),
    ]
    answers = await arun_openai_tool_calls(hands, response(calls))
    words = [answer["output"].split() for answer in answers]
    assert (words[1][0], words[4][0], words[5]) == ("one", "three", ["1", "three"])
    assert [answer["call_id"] for answer in answers] == [f"call_{number}" for number in range(6)]


async def test_a_cancelled_turn_ends_its_command_and_starts_no_other(hands: Sandbox, tmp_path: Path) -> None:
    """A user who stops an agent does not expect its commands to go on."""
    command = "echo $$ > {0}.new; mv {0}.new {0}; sleep 300"
    calls: Turn = [("bash", {"command": command.format(f"pid{number}")}) for number in range(3)]
    task = asyncio.create_task(arun_openai_tool_calls(hands, completion(calls)))
    file = tmp_path / "pid0"
    await until(file.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not os.path.exists(f"/proc/{file.read_text().strip()}"))
    assert not (tmp_path / "pid1").exists()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true, for 20 seconds at the most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_sandbox_that_is_gone_is_an_error_and_no_answer(hands: Sandbox, nowhere: Session) -> None:
    """No model can mend that. It is the library's own error and no group of them, so that a caller can catch it."""
    turn = completion([("bash", {"command": "ls"}), ("read", {"path": "a"})])
    with pytest.raises(Unreachable):
        await arun_openai_tool_calls(nowhere, turn)
    hands.close()
    with pytest.raises(SandboxClosed):
        run_openai_tool_calls(hands, turn)
    with pytest.raises(SandboxClosed):
        await arun_openai_tool_calls(hands, turn)
