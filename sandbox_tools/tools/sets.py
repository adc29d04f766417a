"""Which tools there are, and which of them a model gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .answers import JOB_TOOLS
from .bash import BASH, BASH_WITH_JOBS
from .files import EDIT, READ, WRITE
from .jobs import BASH_INPUT, BASH_JOBS, BASH_KILL, BASH_OUTPUT
from .spec import ToolSpec

TOOLS: dict[str, ToolSpec] = {
    spec.name: spec for spec in (BASH, READ, WRITE, EDIT, BASH_OUTPUT, BASH_INPUT, BASH_KILL, BASH_JOBS)
}
"""Every tool, by its name. To add one, add its `ToolSpec` here."""

DEFAULT_TOOLS = (BASH.name, READ.name, WRITE.name, EDIT.name)
"""The names of the tools that a session has by default."""

ALL_TOOLS = tuple(TOOLS)
"""The names of all tools."""


def tool_set(names: Iterable[str] | None = None) -> Mapping[str, ToolSpec]:
    """The tools with these names, in this order; by default `DEFAULT_TOOLS`. ValueError if there is none of a name.

    Only in a set that has `bash_output` and `bash_kill`, `bash` offers to run commands in the background.
    """
    wanted = [names] if isinstance(names, str) else list(DEFAULT_TOOLS if names is None else names)
    for name in wanted:
        if name not in TOOLS:
            raise ValueError(f"There is no tool {name!r}. There are: {', '.join(TOOLS)}.")
    chosen = {name: TOOLS[name] for name in wanted}
    if BASH.name in chosen and chosen.keys() >= {*JOB_TOOLS}:
        chosen[BASH.name] = BASH_WITH_JOBS
    return chosen
