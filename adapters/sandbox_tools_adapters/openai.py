"""The tools of a sandbox for the OpenAI API, Chat Completions and Responses. All is plain JSON; it needs no package."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from sandbox_tools import Hands, ToolResult, ToolSpec, session_of, tool_set


def openai_tools(
    api: Literal["chat", "responses"] = "chat", strict: bool = False, names: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """Tool definitions, for the `tools` of a request.

    Arguments:
        api: `chat` for chat.completions.create, `responses` for responses.create.
        strict: have the API hold the model to the schema. It then passes every argument, null for those it leaves out.
        names: which tools, in this order; by default `DEFAULT_TOOLS`. Carry their calls out on a session that has the
            same ones: `sandbox.new_session(tools=names)`.
    """
    return [_definition(spec, api, strict) for spec in tool_set(names).values()]


def run_openai_tool_calls(hands: Hands, message_or_response: object) -> list[dict[str, Any]]:
    """Carry out the function calls of a model's turn, one after the other, and return the messages that answer them.

    Arguments:
        hands: what the tools act on. A call of a tool that it does not have is answered with those it has.
        message_or_response: a chat completion or its message, a response or its `output`; as the objects of the openai
            package or as plain dicts.

    Returns what to append to the conversation, after the model's own turn; nothing if it called no function.
    """
    session = session_of(hands)
    return [
        call.answer(call.mistake or session.call_tool(call.name, call.arguments))
        for call in _calls(message_or_response)
    ]


async def arun_openai_tool_calls(hands: Hands, message_or_response: object) -> list[dict[str, Any]]:
    """`run_openai_tool_calls` for tasks. If the task is cancelled, what the calls started in the sandbox is ended."""
    session = session_of(hands)
    return [
        call.answer(call.mistake or await session.acall_tool(call.name, call.arguments))
        for call in _calls(message_or_response)
    ]


# Calls and answers


@dataclass(frozen=True, slots=True)
class _Call:
    """A function call: what to do, or what is wrong with it already."""

    api: Literal["chat", "responses"]
    id: str
    name: str
    arguments: Any
    mistake: ToolResult | None

    def answer(self, result: ToolResult) -> dict[str, Any]:
        if self.api == "chat":
            return {"role": "tool", "tool_call_id": self.id, "content": str(result)}
        return {"type": "function_call_output", "call_id": self.id, "output": str(result)}


def _calls(source: object) -> Iterator[_Call]:
    """The function calls in whatever came from the API, in their order."""
    for item in _items(source):
        function = _get(item, "function")
        if _get(item, "type") == "function_call":
            yield _call("responses", _get(item, "call_id"), item)
        elif function is not None:
            yield _call("chat", _get(item, "id"), function)


def _call(api: Literal["chat", "responses"], id: str, function: object) -> _Call:
    name, arguments = str(_get(function, "name")), _get(function, "arguments")
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments  # some servers send an object
    except (ValueError, RecursionError) as error:
        sentence = f"The arguments are not valid JSON ({error}). Pass one JSON object."
        return _Call(api, id, name, None, ToolResult(success=False, error=sentence, code="invalid_arguments"))
    return _Call(api, id, name, parsed, None)


def _items(source: object) -> list[object]:
    """The items of a response, or the tool calls of a message."""
    if isinstance(source, list):
        return cast("list[object]", source)
    output, choices = _get(source, "output"), _get(source, "choices")
    if isinstance(output, list):
        return cast("list[object]", output)
    if isinstance(choices, list):
        first = cast("list[object]", choices)[:1]
        return _items(_get(first[0], "message")) if first else []
    if _get(source, "role") is not None:
        return _get(source, "tool_calls") or []
    kind = type(source).__name__
    raise TypeError(f"Pass a chat completion or its message, or a response or its output, not {kind}.")


def _get(source: object, key: str) -> Any:
    if isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source).get(key)
    return getattr(source, key, None)


# Definitions


def _definition(spec: ToolSpec, api: str, strict: bool) -> dict[str, Any]:
    parameters = strict_schema(spec.parameters) if strict else copy.deepcopy(dict(spec.parameters))
    function: dict[str, Any] = {"name": spec.name, "description": spec.description, "parameters": parameters}
    match api:
        case "chat":
            return {"type": "function", "function": {**function, "strict": True} if strict else function}
        case "responses":
            return {"type": "function", **function, "strict": strict}
        case _:
            raise ValueError(f"There is no API {api!r}. There are: chat, responses.")


KEPT = ("type", "description", "enum", "items")
"""What strict mode allows in a property, besides the properties of an object."""


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema as strict mode wants it: every property required, and null for what is left out.

    ValueError if an object may have any keys: strict mode has no such thing.
    """
    strict = {key: copy.deepcopy(schema[key]) for key in KEPT if key in schema}
    if "items" in strict:
        strict["items"] = strict_schema(strict["items"])
    if strict["type"] != "object":
        return strict
    if schema.get("additionalProperties") is not False:
        raise ValueError(f"In strict mode an object must say `additionalProperties: false`: {dict(schema)}.")
    properties = {name: strict_schema(rules) for name, rules in schema["properties"].items()}
    for name in properties.keys() - set(schema["required"]):
        _make_nullable(properties[name])
    return {**strict, "required": list(properties), "additionalProperties": False, "properties": properties}


def _make_nullable(rules: dict[str, Any]) -> None:
    rules["type"] = [rules["type"], "null"]
    rules["description"] += " Pass null to leave it out."
    if "enum" in rules:
        rules["enum"].append(None)
