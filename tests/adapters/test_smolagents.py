"""The tools in real smolagents agents with a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from smolagents import CodeAgent, LogLevel, Tool, ToolCallingAgent
from smolagents.models import (
    ChatMessage,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    Model,
    TokenUsage,
    get_tool_json_schema,
)

from sandbox_tools import ALL_TOOLS, TOOLS, AsyncSandbox, Sandbox, SandboxClosed, Session, tool_set
from sandbox_tools_adapters.smolagents import smolagents_tools

if TYPE_CHECKING:
    from .conftest import BadCall, Job


class ScriptedModel(Model):
    """A model that says what it was told to, one turn after the other.

    A turn is code for a `CodeAgent`, or calls (name, arguments) for a `ToolCallingAgent`.
    """

    def __init__(self, *turns: str | list[tuple[str, Any]]) -> None:
        super().__init__(model_id="scripted")
        self.turns: Iterator[str | list[tuple[str, Any]]] = iter(turns)
        self.seen: list[list[ChatMessage]] = []

    def generate(self, messages: list[ChatMessage], *args: Any, **kwargs: Any) -> ChatMessage:
        self.seen.append(messages)
        turn = next(self.turns)
        usage = TokenUsage(1, 1)
        if isinstance(turn, str):
            return ChatMessage(MessageRole.ASSISTANT, f"<code>\n{turn}\n</code>", token_usage=usage)
        calls = [
            ChatMessageToolCall(
                id=f"call_{number}",
                type="function",
                function=ChatMessageToolCallFunction(name=name, arguments=arguments),
            )
            for number, (name, arguments) in enumerate(turn)
        ]
        return ChatMessage(MessageRole.ASSISTANT, "", tool_calls=calls, token_usage=usage)


def run(kind: type[CodeAgent] | type[ToolCallingAgent], tools: list[Tool], *turns: Any) -> tuple[str, list[Any]]:
    """An agent's answer, and its steps."""
    agent = kind(tools=tools, model=ScriptedModel(*turns), verbosity_level=LogLevel.OFF, max_steps=len(turns))
    answer = agent.run("Mend the project.")
    return str(answer), agent.memory.steps[1:]


def tool_named(name: str, tools: list[Tool]) -> Tool:
    return next(tool for tool in tools if tool.name == name)


def test_a_code_agent_mends_a_project(hands: Sandbox, job: Job) -> None:
    """The whole way, from the code that a model writes to the file on disk, is what the adapter is for."""
    answer, steps = run(
        CodeAgent,
        smolagents_tools(hands),
        f"print(bash({job.run_tests!r}))",
        f"print(read({job.module!r}))",
        f"print(edit({job.module!r}, {job.wrong!r}, {job.right!r}))",
        f"print(bash(command={job.run_tests!r}, timeout=60, description='Run the tests again'))",
        "final_answer('mended')",
    )
    job.check_done()
    assert answer == "mended"
    assert [step.error for step in steps] == [None] * 5
    assert job.failure in steps[0].observations
    assert "Exit code 1" in steps[0].observations
    assert f"     2\t    {job.wrong}" in steps[1].observations
    assert "1 replacement" in steps[2].observations
    assert "OK" in steps[3].observations
    assert "[exit code 0" in steps[3].observations


def test_a_tool_calling_agent_mends_a_project(hands: Sandbox, job: Job) -> None:
    """The other kind of agent checks arguments by the schema and calls by keyword, from threads."""
    answer, steps = run(
        ToolCallingAgent,
        smolagents_tools(hands),
        [("bash", {"command": job.run_tests}), ("read", {"path": job.module})],
        [("edit", {"path": job.module, "old_str": job.wrong, "new_str": job.right, "mode": None})],
        [("bash", {"command": job.run_tests, "timeout": 60})],
        [("final_answer", {"answer": "mended"})],
    )
    job.check_done()
    assert answer == "mended"
    assert [step.error for step in steps] == [None] * 4
    assert job.failure in steps[0].observations
    assert f"     2\t    {job.wrong}" in steps[0].observations
    assert "1 replacement" in steps[1].observations
    assert "[exit code 0" in steps[2].observations


def test_a_command_that_outlives_the_wall_of_a_code_agent_becomes_a_job(hands: Sandbox) -> None:
    """A `CodeAgent` calls a block that takes too long an error, and its model never learns what the command did."""
    session = hands.new_session(tools=ALL_TOOLS, yield_after=1)
    agent = CodeAgent(
        tools=smolagents_tools(session),
        model=ScriptedModel(
            "begun = bash('echo begun; until [ -e go ]; do sleep 0.1; done; echo finished; exit 3')\nprint(begun)",
            "import re\njob = re.search('job \"([0-9a-f]+)\"', begun)[1]\n"
            "print(bash_output(job, wait=240))\nprint(bash_jobs())",
            "print(bash('touch go'))\nprint(bash_output(job=job))",
            "final_answer('done')",
        ),
        executor_kwargs={"timeout_seconds": 15},
        verbosity_level=LogLevel.OFF,
    )
    assert str(agent.run("Go.")) == "done"
    first, second, third, _ = agent.memory.steps[1:]
    assert [step.error for step in (first, second, third)] == [None] * 3
    assert "begun\n[job " in first.observations
    assert "is still running after 1 s" in first.observations
    assert "is running; nothing new in 1 s, the longest wait here" in second.observations
    assert "  running  started" in second.observations
    assert "finished\n[job " in third.observations
    assert ": exit code 3 after " in third.observations


def test_a_refused_call_leaves_the_output_of_its_neighbour(hands: Sandbox, job: Job) -> None:
    """An exception would make smolagents drop what all the other calls of the step have said."""
    edit = {"path": job.module, "old_str": job.wrong, "new_str": job.right}
    _, steps = run(
        ToolCallingAgent,
        smolagents_tools(hands),
        [("bash", {"command": "echo kept"}), ("edit", edit), ("bash", {"command": "exit 3"})],
        [("final_answer", {"answer": "done"})],
    )
    assert steps[0].error is None
    assert "kept" in steps[0].observations
    assert "was not read in this session" in steps[0].observations
    assert "Exit code 3" in steps[0].observations


def test_arguments_that_are_no_json_do_not_run_as_a_command(hands: Sandbox, tmp_path: Path) -> None:
    """A `ToolCallingAgent` passes on JSON that it cannot parse as one text, and bash's first argument is a text."""
    broken = '{"command": "ls"; touch ran; '
    _, steps = run(
        ToolCallingAgent, smolagents_tools(hands), [("bash", broken)], [("final_answer", {"answer": "done"})]
    )
    assert "bash: the arguments must be a JSON object" in steps[0].observations
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", [CodeAgent, ToolCallingAgent])
def test_the_model_is_shown_every_tool(kind: type[CodeAgent] | type[ToolCallingAgent], nowhere: Session) -> None:
    """A `CodeAgent` shows names, types and descriptions only, so those must say all that a model needs to know."""
    turn = "final_answer('done')" if kind is CodeAgent else [("final_answer", {"answer": "done"})]
    model = ScriptedModel(turn)
    kind(tools=smolagents_tools(nowhere, ALL_TOOLS), model=model, verbosity_level=LogLevel.OFF).run("Look.")
    prompt = _text(model.seen[0][0])
    for spec in tool_set(ALL_TOOLS).values():
        assert spec.name in prompt
        assert spec.description.splitlines()[0] in prompt
        for name, rules in spec.parameters["properties"].items():
            assert name in prompt
            assert rules["description"] in prompt or repr(rules["description"]) in prompt


def _text(message: ChatMessage) -> str:
    content: Any = message.content
    return content[0]["text"]


@pytest.mark.parametrize("name", TOOLS)
def test_the_schema_for_the_model_is_the_tools_own(name: str, nowhere: Session) -> None:
    """smolagents makes everything required that is not nullable, and models invent values for what is required."""
    function = get_tool_json_schema(smolagents_tools(nowhere, [name])[0])["function"]
    parameters = TOOLS[name].parameters
    assert function["name"] == name
    assert function["description"] == TOOLS[name].description
    assert function["parameters"]["required"] == parameters["required"]
    shown = {key: {k: v for k, v in rules.items() if k != "nullable"} for key, rules in _properties(function).items()}
    assert shown == parameters["properties"]
    json.dumps(function)


def _properties(function: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return function["parameters"]["properties"]


def test_a_schema_is_a_copy(nowhere: Session) -> None:
    """A framework that changes a schema in place must not change what the core validates by."""
    smolagents_tools(nowhere, ["bash"])[0].inputs["command"]["type"] = "integer"
    assert TOOLS["bash"].parameters["properties"]["command"]["type"] == "string"


def test_a_bad_call_is_one_sentence_and_sends_nothing(bad_call: BadCall, nowhere: Session) -> None:
    """A `CodeAgent` checks nothing by itself, so the tool is what stands between a slip and the sandbox."""
    tool = tool_named(bad_call.tool, smolagents_tools(nowhere))
    bad_call.check(tool.forward(**bad_call.arguments), nowhere)
    if "self" not in bad_call.arguments:  # smolagents' own `__call__` cannot take that name
        bad_call.check(tool(**bad_call.arguments), nowhere)
        bad_call.check(tool(**bad_call.arguments, sanitize_inputs_outputs=True), nowhere)


def test_a_name_that_python_methods_have_is_only_an_unknown_argument(nowhere: Session) -> None:
    """`self` is as unknown to a tool as any other name, and no reason for a TypeError."""
    tool = tool_named("bash", smolagents_tools(nowhere))
    assert "bash has no argument 'self'" in str(tool.forward(self=1))


def test_arguments_without_a_name_go_by_the_order_of_the_schema(hands: Sandbox, tmp_path: Path) -> None:
    """Models that write code often leave the names out, and `bash(command, timeout)` is not `bash(timeout)`."""
    tools = smolagents_tools(hands)
    tool_named("write", tools)("notes.txt", "one\ntwo\nthree\n")
    assert (tmp_path / "notes.txt").read_text() == "one\ntwo\nthree\n"
    assert tool_named("read", tools)("notes.txt", 2, limit=1).startswith("     2\ttwo")
    assert "one" in tool_named("read", tools)({"path": "notes.txt"})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda bash: bash("ls", "why", "/", 5, "extra"), "takes at most 4 arguments, not 5: command, description"),
        (lambda bash: bash("ls", command="pwd"), "got 'command' twice"),
    ],
)
def test_arguments_that_python_would_refuse_are_refused(
    call: Callable[[Tool], str], words: str, nowhere: Session
) -> None:
    """To drop an argument in silence would run something else than what the model wrote."""
    answer = call(tool_named("bash", smolagents_tools(nowhere)))
    assert answer.startswith("ERROR: bash ")
    assert words in answer


def test_a_sandbox_that_is_gone_is_an_error_and_no_answer(hands: Sandbox) -> None:
    """No model can mend that, and an answer would have it try for ever."""
    hands.close()
    with pytest.raises(SandboxClosed):
        tool_named("bash", smolagents_tools(hands))("ls")


def test_tools_can_be_chosen_and_named_otherwise(hands: Sandbox, tmp_path: Path) -> None:
    """A `CodeAgent` refuses `read = 5` if a tool has that name; a prefix keeps the short names free."""
    tools = smolagents_tools(hands, names=["write", "read"], prefix="sandbox_")
    assert [tool.name for tool in tools] == ["sandbox_write", "sandbox_read"]
    code = "read = 5\nprint(sandbox_write('a.txt', str(read)))\nprint(sandbox_read('a.txt'))\nfinal_answer(read)"
    answer, _ = run(CodeAgent, tools, code)
    assert answer == "5"
    assert (tmp_path / "a.txt").read_text() == "5"


def test_an_unknown_tool_cannot_be_chosen(nowhere: Session) -> None:
    """A slip in the agent's code should be found when it starts."""
    with pytest.raises(ValueError, match=r"There is no tool 'grep'\. There are: bash, read, write, edit"):
        smolagents_tools(nowhere, names=["bash", "grep"])


async def test_tools_act_on_an_async_sandbox_too(hands: Sandbox, tmp_path: Path) -> None:
    """smolagents has no async tools, but its user may have an async sandbox."""
    sandbox = await AsyncSandbox.connect(hands.url, token=hands.token, work_dir=str(tmp_path))
    async with sandbox:
        for given in (sandbox, sandbox.session):
            assert "hello" in smolagents_tools(given, ["bash"])[0]("echo hello")


def test_a_tool_cannot_be_saved(nowhere: Session, tmp_path: Path) -> None:
    """A connection is no source code; smolagents would fail with a riddle, after it made a folder or a repository."""
    tool = smolagents_tools(nowhere)[0]
    folder = tmp_path / "saved"
    with pytest.raises(ValueError, match="holds a live connection to a sandbox"):
        tool.to_dict()
    with pytest.raises(ValueError, match="holds a live connection to a sandbox"):
        tool.save(folder)
    with pytest.raises(ValueError, match="holds a live connection to a sandbox"):
        tool.push_to_hub("someone/tool")
    assert not folder.exists()


def test_an_agent_with_the_tools_cannot_be_saved(nowhere: Session, tmp_path: Path) -> None:
    """The one who saves an agent should learn why that cannot work."""
    agent = CodeAgent(tools=smolagents_tools(nowhere), model=ScriptedModel(), verbosity_level=LogLevel.OFF)
    with pytest.raises(ValueError, match="holds a live connection to a sandbox"):
        agent.save(tmp_path / "agent")
