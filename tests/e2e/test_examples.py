"""Every example, run as a person runs it: offline, and with a model at an endpoint that speaks like OpenAI's."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = runpy.run_path(str(EXAMPLES / "scripted" / "__init__.py"))
CALLS: list[tuple[str, dict[str, Any]]] = SCRIPT["CALLS"]
ANSWER: str = SCRIPT["ANSWER"]
PASSED = "Checked: the project's tests pass."
FAILED = "Checked: the project's tests still fail."

RUNS = {"quickstart.py": 1, "openai_loop.py": 2, "langchain_agent.py": 2, "smolagents_agent.py": 2}
"""The examples, and how often each does the job."""

WATCH = """
import ctypes, os, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
code = subprocess.run(sys.argv[1:]).returncode
try:
    while os.waitpid(-1, os.WNOHANG)[0]:
        pass
except ChildProcessError:
    sys.exit(code)
sys.exit("A process stayed behind.")
"""
"""Runs a program as the parent of all that it orphans; 1 and a sentence if something still runs when it has ended."""


@dataclass
class Done:
    code: int
    output: str
    errors: str

    @property
    def words(self) -> str:
        """What was printed, without the spaces and frames that differ with the width of a terminal."""
        return re.sub(r"[\s│]+", "", self.output)


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs an example in an empty folder, without any account, and checks that it cleans up after itself."""

    def run(example: str, *arguments: str, **environment: str) -> Done:
        folder = tmp_path / "here"
        folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if name in ("HOME", "PATH") or "COVERAGE" in name}
        with tempfile.TemporaryDirectory() as temporary:  # a short path: a socket's must not be long
            done = subprocess.run(
                [sys.executable, "-c", WATCH, sys.executable, "-W", "error", EXAMPLES / example, *arguments],
                cwd=folder,
                env={**kept, "TMPDIR": temporary, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=100,
            )
            assert "stayed behind" not in done.stderr
            assert [*folder.iterdir(), *Path(temporary).iterdir()] == []
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def test_every_example_is_tested() -> None:
    """An example that nobody runs is wrong before long."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*RUNS, "models.py", "project.py"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_fits_on_a_screen(path: Path) -> None:
    """What takes longer to read than the documentation explains nothing."""
    assert len(path.read_text().splitlines()) <= 65


@pytest.mark.parametrize("example", RUNS)
def test_an_example_does_its_job_without_an_account(run: Run, example: str) -> None:
    """The first thing that a newcomer does must work, and show what the agent did and what came of it."""
    done = run(example)
    assert done.code == 0, done.output + done.errors
    assert done.errors == ""
    times = RUNS[example]
    assert done.words.count("python3-munittest") >= 2 * times
    assert done.words.count("FAILED(failures=1)") == times
    assert done.words.count("return(ordered[(len(ordered)-1)//2]") >= times
    assert done.words.count("median.py(1replacement)") == times
    assert done.words.count(re.sub(r"\s", "", ANSWER)) >= times
    assert done.output.count(PASSED) == times


def test_the_quickstart_shows_each_call_and_its_result_in_their_order(run: Run) -> None:
    """Who watches wants to see a call when it is made, and below it what came of it."""
    shown = run("quickstart.py").output
    expected = [
        *(f"> bash {json.dumps(CALLS[0][1])}", "AssertionError: 3 != 2.5", "ERROR: Exit code 1"),
        *(f"> read {json.dumps(CALLS[1][1])}", "     1  def median(numbers):"),
        *(f"> edit {json.dumps(CALLS[2][1])}", "      4 -     return ordered"),
        *(f"> bash {json.dumps(CALLS[3][1])}", "[exit code 0 after"),
        *(ANSWER, PASSED),
    ]
    assert re.search(".*".join(map(re.escape, expected)), shown, re.S), shown


# With a model at an endpoint


@dataclass
class Endpoint:
    """OpenAI's two APIs on the loopback interface, with a model that says what was written down for it.

    Attributes:
        calls: one in each turn, then the answer; then it begins again.
        requests: the body of every request.
    """

    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=lambda: CALLS)
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def reply(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        turn = len(self.requests) % (len(self.calls) + 1)
        self.requests.append(request)
        name, arguments = [*self.calls, ("", {})][turn]
        function = {"name": name, "arguments": json.dumps(arguments)}
        if path == "/v1/responses":
            said = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
            text = {"type": "output_text", "text": ANSWER, "annotations": []}
            item = {"type": "function_call", "call_id": f"c{turn}", **function} if name else {**said, "content": [text]}
            return _response([item])
        tools = [tool["function"]["name"] for tool in request.get("tools", [])]
        if not name and "final_answer" in tools:  # as smolagents wants to hear it
            function = {"name": "final_answer", "arguments": json.dumps({"answer": ANSWER})}
        elif not name:
            return _completion({"content": ANSWER if tools else f"<code>final_answer({ANSWER!r})</code>"})
        elif not tools:
            return _completion({"content": f"<code>print({name}(**{arguments!r}))</code>"})
        call = {"id": f"c{turn}", "type": "function", "function": function}
        return _completion({"content": None, "tool_calls": [call]})


def _completion(message: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    common = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
    return {**common, "choices": [choice], "usage": usage}


def _response(output: list[dict[str, Any]]) -> dict[str, Any]:
    common = {"id": "x", "object": "response", "created_at": 0, "model": "m", "status": "completed"}
    return {**common, "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            known = self.headers["authorization"] == "Bearer key"
            answer = endpoint.reply(self.path, request) if known else {"error": {"message": "No such key."}}
            self.send_response(200 if known else 401)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield endpoint
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("example", ["quickstart.py", "openai_loop.py", "smolagents_agent.py"])
def test_an_example_does_its_job_with_a_model_at_an_endpoint(run: Run, endpoint: Endpoint, example: str) -> None:
    """A scripted model spares the client's package and the wire: what works with it may not with a real one."""
    done = run(example, "--model", "some/model", OPENAI_API_KEY="key", OPENAI_BASE_URL=endpoint.url)
    assert done.code == 0, done.output + done.errors
    assert done.output.count(PASSED) == RUNS[example]
    assert {request["model"] for request in endpoint.requests} == {"some/model"}
    assert len(endpoint.requests) == RUNS[example] * (len(CALLS) + 1)
    assert "[exit code 0 after" in json.dumps(endpoint.requests[-1])  # the model got to see the results


def test_the_quickstart_believes_the_tests_and_not_the_model(run: Run, endpoint: Endpoint) -> None:
    """A model that says it is done and is not must not look as if it were."""
    endpoint.calls = [("bash", {"command": "echo 'import unittest' > test_median.py"})]
    done = run("quickstart.py", "--model", "liar", OPENAI_API_KEY="key", OPENAI_BASE_URL=endpoint.url)
    assert ANSWER in done.output
    assert FAILED in done.output
    assert done.code == 1


def test_the_quickstart_gives_up_on_a_model_that_never_ends(run: Run, endpoint: Endpoint) -> None:
    """Each turn costs something."""
    endpoint.calls = [("bash", {"command": "true"})] * 100
    done = run("quickstart.py", "--model", "restless", OPENAI_API_KEY="key", OPENAI_BASE_URL=endpoint.url)
    assert "not done after 30 turns" in done.output
    assert (done.code, len(endpoint.requests)) == (1, 30)


# Without what a real model needs


@pytest.mark.parametrize("example", ["quickstart.py", "openai_loop.py", "smolagents_agent.py"])
def test_a_missing_key_is_told_in_one_sentence(run: Run, example: str) -> None:
    """It is the first thing that everybody forgets."""
    done = run(example, "--model", "some-model")
    assert done.code == 1
    assert re.fullmatch(r"A real model needs OPENAI_API_KEY [^\n]*\.\n", done.errors)
    assert PASSED not in done.output


def test_a_missing_package_is_told_with_the_command_that_installs_it(run: Run, tmp_path: Path) -> None:
    """The quickstart alone does not need it."""
    (tmp_path / "openai.py").write_text("raise ModuleNotFoundError('No module named openai', name='openai')\n")
    done = run("quickstart.py", "--model", "some-model", PYTHONPATH=str(tmp_path), OPENAI_API_KEY="key")
    assert done.code == 1
    assert done.errors == "openai is not installed. Install it with: pip install 'sandbox-tools[openai]'\n"
    assert done.output == ""


def test_a_provider_that_is_not_installed_is_told_in_one_sentence(run: Run) -> None:
    """LangChain keeps each provider's models in a package of their own."""
    done = run("langchain_agent.py", "--model", "openai:some-model")
    assert done.code == 1
    assert re.fullmatch(r"[^\n]*langchain-openai[^\n]*\n", done.errors)
    assert done.output == ""


def test_a_model_that_cannot_be_asked_is_told_in_one_sentence(run: Run, endpoint: Endpoint) -> None:
    """A wrong key is no bug, and a traceback looks like one."""
    done = run("quickstart.py", "--model", "some-model", OPENAI_API_KEY="wrong", OPENAI_BASE_URL=endpoint.url)
    assert done.code == 1
    assert re.fullmatch(r"some-model could not be asked: [^\n]*No such key\.[^\n]*\n", done.errors)
    assert PASSED not in done.output
