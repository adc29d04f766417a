"""From a tool's name and arguments to its result."""

from __future__ import annotations

from typing import Any

from sandbox_tools.errors import Refused
from sandbox_tools.operations import Flow, Wait

from .arguments import InvalidArguments, clean
from .spec import Context, ToolResult, ToolSpec


def dispatch(context: Context, name: str, arguments: object) -> Flow[ToolResult]:
    """Carry out one call. What the model did wrong and what the sandbox refused is a result; nothing is raised for it.

    `Unreachable` and the refusal of our own token are raised: no model can mend those.
    """
    spec = context.tools.get(str(name))
    if spec is None:
        return _failed("unknown_tool", f"There is no tool {str(name)[:100]!r}. There are: {', '.join(context.tools)}.")
    try:
        cleaned = clean(name, spec.parameters, arguments)
        return (yield from (_in_turn if spec.mutates else _handled)(spec, context, cleaned))
    except InvalidArguments as error:
        return _failed("invalid_arguments", str(error))
    except Refused as refusal:
        if refusal.code == "unauthorized":
            raise
        return _failed(refusal.code, str(refusal))


def _handled(spec: ToolSpec, context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    return (yield from spec.handler(context, arguments))


def _in_turn(spec: ToolSpec, context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    turn = context.mutations.enter()
    try:
        yield Wait(turn)
        return (yield from spec.handler(context, arguments))
    finally:
        context.mutations.leave(turn)


def _failed(code: str, error: str) -> ToolResult:
    return ToolResult(success=False, error=error, code=code)
