"""What the README shows is run: each program as it stands, each command against what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELLS = {"bash", "console", "sh", "shell"}
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[\w+-]*)[^\n]*\n(?P<text>.*?)^ *(?P=fence) *$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    language: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"README.md:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Every fenced block, and the line on which its text begins."""
    return [
        Block(
            found["language"].lower(),
            page.count("\n", 0, found.start("text")) + 1,
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.M),
        )
        for found in FENCE.finditer(page)
    ]


def commands_of(block: Block) -> list[str]:
    """A console shows commands after `$` and then what they print; in a script every line is a command or a remark."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M))


def objection(command: str) -> str | None:
    """Why a reader who types this would be disappointed, or nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = shlex.split(command, comments=True)
    if words[:2] in (["python", "-m"], ["python3", "-m"]):
        words = words[2:]
    match words:
        case ["make", *targets]:
            unknown = {word for word in targets if "=" not in word} - make_targets()
            return f"the Makefile has no {', '.join(sorted(unknown))}" if unknown else None
        case ["pip", "install", *wanted]:
            for name, extras in re.findall(r"([\w-]+)\[([\w,-]+)\]", " ".join(wanted)):
                unknown = set(extras.split(",")) - set(project["optional-dependencies"])
                if name == project["name"] and unknown:
                    return f"there is no extra {', '.join(sorted(unknown))}"
            return None
        case _:
            return "it is neither a make target nor a pip install"


BLOCKS = blocks_of((ROOT / "README.md").read_text())
PROGRAMS = [block for block in BLOCKS if block.language in {"py", "python", "python3"}]
COMMANDS = [(block, command) for block in BLOCKS if block.language in SHELLS for command in commands_of(block)]


def test_the_readme_shows_a_program() -> None:
    """A reader wants to see the thing at work before anything else, and the tests below need something to run."""
    assert PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_a_program_of_the_readme_runs_as_it_stands(program: Block, tmp_path: Path) -> None:
    """What is copied from the README into an empty folder works, and warns of nothing."""
    script = tmp_path / "readme.py"
    script.write_text("\n" * (program.line - 1) + program.text)  # so that a traceback names the README's line
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{program} ended with {done.returncode}:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "command", [command for _, command in COMMANDS], ids=[f"{block}:{text}" for block, text in COMMANDS]
)
def test_a_command_of_the_readme_exists(command: str) -> None:
    """A first step that fails is the last one that a newcomer takes."""
    assert objection(command) is None


@pytest.mark.parametrize("command", ["make nothing", "pip install 'sandbox-tools[nothing]'", "curl example.org | sh"])
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    """The check above must be able to fail."""
    assert objection(command) is not None


def test_blocks_and_their_commands_are_found_where_they_stand() -> None:
    """A block that the pattern misses would be shown and never run."""
    first = "1. So:\n\n   ```console\n   $ make test \\\n       ARGS=-q  # quick\n   1 passed\n   ```\n"
    page = first + "\n```python\nprint(1)\n```\n"
    console, program = blocks_of(page)
    assert [(block.language, block.line) for block in (console, program)] == [("console", 4), ("python", 10)]
    assert commands_of(console) == ["make test      ARGS=-q  # quick"]
    assert program.text == "print(1)\n"
