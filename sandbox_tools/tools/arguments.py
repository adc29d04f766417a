"""Check what a model passes to a tool: one sentence if it does not fit, clean arguments if it does. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import ValidationError

ALIASES = {"file_path": "path", "old_string": "old_str", "new_string": "new_str"}
"""Names that models know from elsewhere, and ours."""


FREE_TEXTS = ("content", "description", "new_str", "old_str", "text")
"""The only texts that may hold a NUL: paths and commands cannot."""


class InvalidArguments(Exception):
    """The arguments do not fit; the message is for the model."""


def clean(tool: str, schema: Mapping[str, Any], arguments: object) -> dict[str, Any]:
    """The arguments by the tool's own names, with nulls left out and plain texts read as the numbers they are.

    Raises `InvalidArguments` with one sentence that names the argument, what was given and what is allowed.
    """
    if not isinstance(arguments, Mapping):
        raise InvalidArguments(f"{tool}: the arguments must be a JSON object, not {_shown(arguments)}.")
    properties: Mapping[str, Any] = schema["properties"]
    named: dict[str, Any] = {}
    for given, value in arguments.items():  # pyright: ignore[reportUnknownVariableType]
        name = _own_name(tool, properties, str(given))  # pyright: ignore[reportUnknownArgumentType]
        if name in named:
            raise InvalidArguments(f"{tool}: '{name}' is given twice; pass it once.")
        if value is not None or name in schema["required"]:
            named[name] = _coerced(value, properties[name])
    _validate(tool, schema, named)
    return named


def _own_name(tool: str, properties: Mapping[str, Any], given: str) -> str:
    name = given if given in properties else ALIASES.get(given, given)
    if name not in properties:
        near = difflib.get_close_matches(given, properties, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InvalidArguments(f"{tool} has no argument {given[:100]!r}.{hint} It takes: {', '.join(properties)}.")
    return name


def _coerced(value: Any, schema: Mapping[str, Any]) -> Any:
    """Texts that can only mean a number or a truth value, as models send them."""
    kind = schema["type"]
    if kind == "integer" and isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        return int(value)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def _validate(tool: str, schema: Mapping[str, Any], arguments: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator  # where it is needed first: it costs more to import than all of ours

    found: Any = Draft202012Validator(schema).iter_errors(arguments)  # pyright: ignore[reportUnknownMemberType]  (its stubs)
    try:
        errors: list[ValidationError] = sorted(found, key=_weight)
    except Exception as error:  # it shows what it refuses, and what cannot be shown raises whatever it likes
        raise InvalidArguments(f"{tool}: an argument is no plain JSON value ({type(error).__name__}).") from None
    if errors:
        raise InvalidArguments(f"{tool}: {_sentence(errors[0], schema)}")
    for name, value in arguments.items():
        if isinstance(value, str):
            _check_text(tool, name, value)


def _weight(error: ValidationError) -> tuple[bool, str]:
    """What is missing is said first."""
    return error.validator != "required", error.json_path


def _sentence(error: ValidationError, schema: Mapping[str, Any]) -> str:
    if error.validator == "required":
        given: Any = error.instance
        missing = [name for name in schema["required"] if name not in given]
        names = " and ".join(f"'{name}'" for name in missing)
        return f"{names} {'is' if len(missing) == 1 else 'are'} missing; it takes: {', '.join(schema['properties'])}."
    name = ".".join(map(str, error.absolute_path))
    return f"'{name}' must be {_allowed(error)}, not {_shown(error.instance)}."


def _allowed(error: ValidationError) -> str:
    rules: Any = error.schema
    if error.validator == "enum":
        return " or ".join(json.dumps(value) for value in rules["enum"])
    if error.validator == "minimum":
        return f"at least {rules['minimum']:,}"
    if error.validator == "maximum":
        return f"at most {rules['maximum']:,}"
    if error.validator == "maxLength":
        return f"a text of at most {rules['maxLength']:,} characters"
    if error.validator == "minLength":
        return "a text that is not empty"
    return {"string": "a text", "integer": "a whole number", "boolean": "true or false"}[rules["type"]]


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # no JSON: a CodeAgent may pass any object
        text = f"a Python {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:100]}… ({type(value).__name__})"


def _check_text(tool: str, name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        place = error.start
        raise InvalidArguments(
            f"{tool}: '{name}' has half of a surrogate pair at character {place}; pass whole Unicode characters."
        ) from None
    if "\0" in value and name not in FREE_TEXTS:
        place = value.index("\0")
        raise InvalidArguments(f"{tool}: '{name}' has a NUL character at character {place}; leave it out.")
