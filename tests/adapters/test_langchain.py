"""The tools in real LangChain agents with a scripted model, and LangChain's own tests for tools."""

from __future__ import annotations

import asyncio
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from sandbox_tools import TOOLS, AsyncSandbox, Sandbox, SandboxClosed, Session
from sandbox_tools_adapters.langchain import SandboxTool, SandboxToolkit, langchain_tools

if TYPE_CHECKING:
    from .conftest import BadCall, Job


class ScriptedModel(GenericFakeChatModel):
    """A chat model that says what it was told to, one message after the other."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def scripted(*turns: str | list[tuple[str, dict[str, Any]]]) -> ScriptedModel:
    """A model whose turns are texts, or calls (name, arguments)."""
    return ScriptedModel(messages=iter([_message(turn) for turn in turns]))


def _message(turn: str | list[tuple[str, dict[str, Any]]]) -> AIMessage:
    if isinstance(turn, str):
        return AIMessage(turn)
    return AIMessage("", tool_calls=[call(name, arguments, f"call_{n}") for n, (name, arguments) in enumerate(turn)])


def call(name: str, arguments: dict[str, Any], id: str = "call_0") -> ToolCall:
    return ToolCall(name=name, args=arguments, id=id, type="tool_call")


def tool_named(name: str, hands: Sandbox | AsyncSandbox | Session) -> BaseTool:
    return langchain_tools(hands, [name])[0]


def mending(job: Job) -> ScriptedModel:
    return scripted(
        [("bash", {"command": job.run_tests}), ("read", {"path": job.module})],
        [("edit", {"path": job.module, "old_str": job.wrong, "new_str": job.right})],
        [("bash", {"command": job.run_tests, "timeout": 60})],
        "mended",
    )


def check_mended(messages: list[AnyMessage], job: Job) -> None:
    job.check_done()
    assert messages[-1].text == "mended"
    failed, read, edited, passed = (message for message in messages if isinstance(message, ToolMessage))
    assert job.failure in failed.text
    assert "Exit code 1" in failed.text
    assert f"     2\t    {job.wrong}" in read.text
    assert "1 replacement" in edited.text
    assert "[exit code 0" in passed.text
    assert {failed.status, read.status, edited.status, passed.status} == {"success"}
    assert (failed.artifact["data"]["exit_code"], passed.artifact["data"]["exit_code"]) == (1, 0)


def test_an_agent_mends_a_project(hands: Sandbox, job: Job) -> None:
    """The whole way, from a model's message to the file on disk, is what the adapter is for."""
    agent = create_agent(mending(job), tools=langchain_tools(hands))
    check_mended(agent.invoke({"messages": [("user", "Mend the project.")]})["messages"], job)


async def test_an_agent_mends_a_project_in_a_task(hands: Sandbox, job: Job, tmp_path: Path) -> None:
    """`ainvoke` goes by the tools' native async way, on one event loop with everything else."""
    async with await AsyncSandbox.connect(hands.url, token=hands.token, work_dir=str(tmp_path)) as sandbox:
        agent = create_agent(mending(job), tools=SandboxToolkit.from_sandbox(sandbox).get_tools())
        check_mended((await agent.ainvoke({"messages": [("user", "Mend the project.")]}))["messages"], job)


def test_a_mistake_of_the_model_is_a_message_and_the_agent_goes_on(hands: Sandbox) -> None:
    """Any other exception than LangChain's own would end the agent."""
    model = scripted(
        [
            ("edit", {"path": "a.txt", "old_str": "x", "new_str": "y"}),
            ("bash", {"cmd": "ls"}),
            ("bash", {"command": "false"}),
        ],
        "sorry",
    )
    hands.files.write("a.txt", b"x\n")
    messages = create_agent(model, tools=langchain_tools(hands)).invoke({"messages": [("user", "Go.")]})["messages"]
    unread, unknown, failed = (message for message in messages if isinstance(message, ToolMessage))
    assert (unread.status, unknown.status, failed.status) == ("error", "error", "success")
    assert "was not read in this session" in unread.text
    assert "bash has no argument 'cmd'. Did you mean 'command'?" in unknown.text
    assert messages[-1].text == "sorry"


def test_a_command_that_fails_was_carried_out(hands: Sandbox) -> None:
    """Status "error" says that nothing was done; the exit code is what a program wants to know of a command."""
    message = tool_named("bash", hands).invoke(call("bash", {"command": "echo out; exit 3"}))
    assert message.status == "success"
    assert message.text.startswith("out\nERROR: Exit code 3")
    assert message.artifact["success"] is False
    assert message.artifact["code"] is None
    assert message.artifact["data"]["exit_code"] == 3
    assert json.loads(json.dumps(message.artifact)) == message.artifact


async def test_a_bad_call_is_one_sentence_and_sends_nothing(bad_call: BadCall, nowhere: Session) -> None:
    """With a JSON schema LangChain checks nothing, and hands names of its own to a tool that could take them."""
    tool = tool_named(bad_call.tool, nowhere)
    request = call(bad_call.tool, bad_call.arguments)
    for message in (tool.invoke(request), await tool.ainvoke(request)):
        assert message.status == "error"
        bad_call.check(message.text, nowhere)


@pytest.mark.parametrize("name", TOOLS)
def test_the_schema_for_the_model_is_the_tools_own(name: str, nowhere: Session) -> None:
    """A pydantic model in between would lose bounds and `additionalProperties`, and turn null into a type."""
    function = convert_to_openai_tool(tool_named(name, nowhere))["function"]
    spec = TOOLS[name]
    assert function["name"] == name
    assert function["description"] == spec.description
    assert function["parameters"] == spec.parameters


def test_a_schema_is_a_copy(nowhere: Session) -> None:
    """A framework that changes a schema in place must not change what the core validates by."""
    tool_named("bash", nowhere).args["command"]["type"] = "integer"
    assert TOOLS["bash"].parameters["properties"]["command"]["type"] == "string"


async def test_a_sandbox_that_is_gone_is_an_error_and_no_answer(hands: Sandbox) -> None:
    """No model can mend that, and an answer would have it try for ever."""
    tool = tool_named("bash", hands)
    hands.close()
    with pytest.raises(SandboxClosed):
        tool.invoke(call("bash", {"command": "ls"}))
    with pytest.raises(SandboxClosed):
        await tool.ainvoke(call("bash", {"command": "ls"}))


def test_a_toolkit_has_the_tools_of_a_sandbox(nowhere: Session) -> None:
    """LangChain users look for a toolkit, and for `from_…` to make one of what they have."""
    assert [tool.name for tool in SandboxToolkit(nowhere).get_tools()] == list(TOOLS)
    assert [tool.name for tool in SandboxToolkit(hands=nowhere, names=["read"]).get_tools()] == ["read"]
    tools = SandboxToolkit.from_sandbox(nowhere, names=["edit", "bash"]).get_tools()
    assert [tool.name for tool in tools] == ["edit", "bash"]
    assert all(isinstance(tool, SandboxTool) for tool in tools)


def test_an_unknown_tool_cannot_be_chosen(nowhere: Session) -> None:
    """A slip in the agent's code should be found when it starts."""
    with pytest.raises(ValueError, match=r"There is no tool 'grep'\. There are: bash, read, write, edit"):
        langchain_tools(nowhere, names=["bash", "grep"])


def test_a_tool_that_was_renamed_still_works(hands: Sandbox) -> None:
    """People rename tools that clash with others of theirs; the sandbox knows them by their own names."""
    tool = tool_named("bash", hands).model_copy(update={"name": "sandbox_bash"})
    assert "hello" in tool.invoke({"command": "echo hello"})


async def test_threads_and_tasks_share_a_session(hands: Sandbox, tmp_path: Path) -> None:
    """Frameworks call tools from both at once; no output may go astray and no edit may be lost."""
    count = 8
    hands.write("lines.txt", "".join(f"line {number}.\n" for number in range(2 * count)))
    bash, edit = tool_named("bash", hands), tool_named("edit", hands)

    def echo(number: int) -> ToolCall:
        return call("bash", {"command": f"echo [{number}]"})

    def change(number: int) -> ToolCall:
        return call("edit", {"path": "lines.txt", "old_str": f"line {number}.", "new_str": f"changed {number}."})

    with ThreadPoolExecutor(2 * count) as pool:
        loop = asyncio.get_running_loop()
        threads = [loop.run_in_executor(pool, bash.invoke, echo(number)) for number in range(count)]
        threads += [loop.run_in_executor(pool, edit.invoke, change(number)) for number in range(count)]
        tasks = [bash.ainvoke(echo(number)) for number in range(count, 2 * count)]
        tasks += [edit.ainvoke(change(number)) for number in range(count, 2 * count)]
        messages = await asyncio.gather(*threads, *tasks)

    assert {message.status for message in messages} == {"success"}
    echoed = [message.text.splitlines()[0] for message in messages if message.name == "bash"]
    assert echoed == [f"[{number}]" for number in range(2 * count)]
    assert (tmp_path / "lines.txt").read_text() == "".join(f"changed {number}.\n" for number in range(2 * count))


async def test_a_cancelled_call_ends_its_command(hands: Sandbox, tmp_path: Path) -> None:
    """A user who stops an agent does not expect its command to go on."""
    pid_file = tmp_path / "pid"
    command = "sleep 300 & echo $$ $! > pid.new; mv pid.new pid; wait"
    task = asyncio.create_task(tool_named("bash", hands).ainvoke(call("bash", {"command": command})))
    await until(pid_file.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pids = [int(pid) for pid in pid_file.read_text().split()]
    await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


async def until(condition: Any) -> None:
    """Wait for something to become true, for 20 seconds at the most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


EXAMPLES: dict[str, dict[str, Any]] = {
    "bash": {"command": "echo hello", "timeout": 30},
    "read": {"path": "notes.txt", "offset": 1},
    "write": {"path": "new/file.txt", "content": "hello\n"},
    "edit": {"path": "notes.txt", "old_str": "one", "new_str": "two"},
}


class _EveryTool:
    """Runs each of LangChain's standard tests for every tool."""

    @pytest.fixture(autouse=True, params=TOOLS)
    def _one_tool(self, request: pytest.FixtureRequest) -> None:
        self.name: str = request.param

    @property
    def tool_constructor(self) -> BaseTool:
        return self.instance

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return EXAMPLES[self.name]


class TestToolsUnit(_EveryTool, ToolsUnitTests):
    """LangChain's standard tests that need no sandbox."""

    @pytest.fixture(autouse=True)
    def _made(self, _one_tool: None, nowhere: Session) -> None:
        self.instance = tool_named(self.name, nowhere)


class TestToolsIntegration(_EveryTool, ToolsIntegrationTests):
    """LangChain's standard tests that call the tools."""

    @pytest.fixture(autouse=True)
    def _made(self, _one_tool: None, hands: Sandbox) -> None:
        hands.write("notes.txt", "one\n")
        self.instance = tool_named(self.name, hands)
