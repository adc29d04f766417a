"""The tools of a sandbox for smolagents."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from sandbox_tools import Hands, MissingExtra, Session, ToolResult, ToolSpec, session_of

try:
    from smolagents import Tool  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
except ModuleNotFoundError as error:
    if error.name != "smolagents":
        raise
    raise MissingExtra("smolagents") from error


def smolagents_tools(hands: Hands, names: Iterable[str] | None = None, prefix: str = "") -> list[Tool]:
    """The tools of a sandbox or a session, for a `CodeAgent` or a `ToolCallingAgent`.

    Arguments:
        hands: what the tools act on. It must stay open as long as the agent runs.
        names: which tools, in this order; by default those of the session.
        prefix: put before each name. A `CodeAgent` cannot use a tool's name for a variable, and `read` is a likely one.
    """
    session = session_of(hands, names)
    return [SandboxTool(session, spec, prefix) for spec in session.tools.values()]


class SandboxTool(Tool):  # type: ignore[misc]  # smolagents has no types
    """One tool of a session. The agent gets the text of a result, whatever came of the call."""

    skip_forward_signature_validation = True

    def __init__(self, session: Session, spec: ToolSpec, prefix: str = "") -> None:
        self.name = prefix + spec.name
        self.description = spec.description
        self.inputs = _inputs(spec.parameters)
        self.output_type = "string"
        self._session = session
        self._tool = spec.name
        super().__init__()  # pyright: ignore[reportUnknownMemberType]

    def __call__(self, /, *args: Any, sanitize_inputs_outputs: bool = False, **kwargs: Any) -> Any:
        """Carry out a call.

        A `ToolCallingAgent` hands on arguments that are no JSON as they are, one text, which smolagents would take for
        the first argument: broken JSON would run as a command. It is refused instead.
        """
        if sanitize_inputs_outputs and len(args) == 1 and isinstance(args[0], str):
            broken: Any = args[0]
            return str(self._session.call_tool(self._tool, broken))
        call: Any = super().__call__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return call(*args, sanitize_inputs_outputs=sanitize_inputs_outputs, **kwargs)

    def forward(self, /, *args: Any, **kwargs: Any) -> str:
        """Carry out a call; arguments without a name are in the order of the schema, as Python has it."""
        positional = dict(zip(self.inputs, args, strict=False))
        twice = [name for name in positional if name in kwargs]
        if len(args) > len(self.inputs):
            return self._refused(
                f"takes at most {len(self.inputs)} arguments, not {len(args)}: {', '.join(self.inputs)}"
            )
        if twice:
            return self._refused(f"got '{twice[0]}' twice, by its place and by its name; pass it once")
        return str(self._session.call_tool(self._tool, positional | kwargs))

    def _refused(self, reason: str) -> str:
        return str(ToolResult(success=False, error=f"{self._tool} {reason}.", code="invalid_arguments"))

    def to_dict(self) -> NoReturn:
        """Always fails: a connection cannot be turned into code."""
        raise ValueError(
            f"The tool {self.name!r} cannot be saved or sent elsewhere: it holds a live connection to a sandbox. Call "
            "smolagents_tools() where the agent runs."
        )

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Always fails, before anything is written; see `to_dict`."""
        self.to_dict()

    def push_to_hub(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Always fails, before a repository is created; see `to_dict`."""
        self.to_dict()


def _inputs(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's properties, where smolagents wants each optional one to be nullable."""
    inputs: dict[str, Any] = copy.deepcopy(dict(parameters["properties"]))
    for name in inputs.keys() - set(parameters["required"]):
        inputs[name]["nullable"] = True
    return inputs
