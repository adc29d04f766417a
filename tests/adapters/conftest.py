"""What the tests of the adapters share: hands to act with, hands that reach nothing, and a job for an agent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from sandbox_tools import Sandbox, Session
from sandbox_tools.transport import Endpoint, Transport


class Server(Protocol):
    """What is needed of a running server."""

    url: str
    token: str


@pytest.fixture
def hands(server: Server, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of a real server, in a folder of the test's own."""
    with Sandbox.connect(server.url, token=server.token, work_dir=str(tmp_path)) as sandbox:
        yield sandbox


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Session]:
    """A session that reaches nothing: whatever is sent raises `Unreachable`."""
    transport = Transport(Endpoint("http://nowhere", "token", socket=str(tmp_path / "nothing-listens-here")))
    yield Session(transport)
    transport.close()


@dataclass
class Job:
    """A project with a bug and a test that finds it."""

    folder: Path
    run_tests: str = f"{sys.executable} -B -m unittest"
    """-B: a module that changes twice in a second must not come from a cache."""
    module: str = "calc.py"
    wrong: str = "return a - b"
    right: str = "return a + b"
    failure: str = field(default="AssertionError: -1 != 3", init=False)

    def __post_init__(self) -> None:
        (self.folder / self.module).write_text(f"def add(a, b):\n    {self.wrong}\n")
        (self.folder / "test_calc.py").write_text(
            "import unittest\n\nfrom calc import add\n\n\nclass Test(unittest.TestCase):\n"
            "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n"
        )

    def check_done(self) -> None:
        """The file on disk is mended and the test passes."""
        assert (self.folder / self.module).read_text() == f"def add(a, b):\n    {self.right}\n"
        subprocess.run([*self.run_tests.split()], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A project with a bug, where `hands` work."""
    return Job(tmp_path)


@dataclass(frozen=True)
class BadCall:
    """A call that no tool accepts, and the words its answer must have."""

    tool: str
    arguments: dict[str, Any]
    words: tuple[str, ...]

    def check(self, answer: str, session: Session) -> None:
        """The answer is one helpful sentence, the core's own."""
        assert answer == str(session.call_tool(self.tool, self.arguments))
        assert answer.startswith("ERROR: ")
        assert "\n" not in answer
        assert all(word in answer for word in self.words), answer


BAD_CALLS = {
    "bash-missing": BadCall("bash", {}, ("'command'", "missing")),
    "bash-unknown": BadCall("bash", {"command": "ls", "shell": "sh"}, ("'shell'", "It takes: command")),
    "bash-mistyped": BadCall("bash", {"command": ["ls"]}, ("'command'", "a text", '["ls"]')),
    "bash-out-of-range": BadCall("bash", {"command": "ls", "timeout": -1}, ("'timeout'", "-1")),
    "read-missing": BadCall("read", {"offset": 1}, ("'path'", "missing")),
    "read-unknown": BadCall("read", {"path": "a", "lines": 3}, ("'lines'", "It takes: path")),
    "read-mistyped": BadCall("read", {"path": "a", "limit": "many"}, ("'limit'", "a whole number", '"many"')),
    "read-out-of-range": BadCall("read", {"path": "a", "limit": 0}, ("'limit'", "at least 1")),
    "write-missing": BadCall("write", {"path": "a"}, ("'content'", "missing")),
    "write-unknown": BadCall("write", {"path": "a", "content": "", "append": True}, ("'append'", "It takes: path")),
    "write-mistyped": BadCall("write", {"path": "a", "content": {"k": 1}}, ("'content'", "a text")),
    "write-out-of-range": BadCall("write", {"path": "", "content": ""}, ("'path'", "not empty")),
    "edit-missing": BadCall("edit", {"path": "a", "old_str": "b"}, ("'new_str'", "missing")),
    "edit-unknown": BadCall(
        "edit", {"path": "a", "old_str": "b", "new_str": "c", "count": 1}, ("'count'", "It takes:")
    ),
    "edit-mistyped": BadCall(
        "edit",
        {"path": "a", "old_str": "b", "new_str": "c", "replace_all": "perhaps"},
        ("'replace_all'", "true or false"),
    ),
    "edit-out-of-range": BadCall(
        "edit", {"path": "a", "old_str": "b", "new_str": "c", "mode": "insert"}, ("'mode'", '"append_after"')
    ),
    "a-name-that-python-methods-have": BadCall("bash", {"command": "ls", "self": 1}, ("'self'", "It takes: command")),
    "a-name-that-frameworks-have": BadCall(
        "read", {"path": "a", "run_manager": 1}, ("'run_manager'", "It takes: path")
    ),
    "another-name-that-frameworks-have": BadCall("read", {"path": "a", "config": {}}, ("'config'", "It takes: path")),
}


@pytest.fixture(params=BAD_CALLS.values(), ids=BAD_CALLS)
def bad_call(request: pytest.FixtureRequest) -> BadCall:
    """Each way to call each tool wrongly."""
    return request.param
