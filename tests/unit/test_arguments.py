"""What a model passes to a tool, and the one sentence that it is answered with."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_tools import TOOLS
from sandbox_tools.tools.arguments import InvalidArguments, clean


def cleaned(tool: str, arguments: object) -> dict[str, Any]:
    return clean(tool, TOOLS[tool].parameters, arguments)


@pytest.mark.parametrize(
    ("tool", "given_", "expected"),
    [
        ("bash", {"command": "ls", "timeout": None}, {"command": "ls"}),
        ("bash", {"command": "ls", "timeout": "30"}, {"command": "ls", "timeout": 30}),
        ("bash", {"command": "ls", "timeout": " +30 "}, {"command": "ls", "timeout": 30}),
        ("bash", {"command": "ls", "timeout": 30.0}, {"command": "ls", "timeout": 30}),
        ("bash", {"command": "ls", "timeout": 99999}, {"command": "ls", "timeout": 99999}),
        ("read", {"file_path": "x"}, {"path": "x"}),
        ("read", {"path": "x", "offset": 0}, {"path": "x", "offset": 0}),
        ("write", {"path": "x", "content": ""}, {"path": "x", "content": ""}),
        (
            "edit",
            {"file_path": "x", "old_string": "a", "new_string": "b", "replace_all": "true", "mode": None},
            {"path": "x", "old_str": "a", "new_str": "b", "replace_all": True},
        ),
        (
            "edit",
            {"path": "x", "old_str": "a", "new_str": "", "replace_all": "False"},
            {"path": "x", "old_str": "a", "new_str": "", "replace_all": False},
        ),
    ],
)
def test_what_can_only_mean_one_thing_is_accepted(tool: str, given_: dict[str, Any], expected: dict[str, Any]) -> None:
    """Models send numbers as text, nulls for what they leave out, and names they know from elsewhere."""
    assert cleaned(tool, given_) == expected


@pytest.mark.parametrize(
    ("tool", "given_", "sentence"),
    [
        ("bash", {}, "bash: 'command' is missing; it takes: command, description, work_dir, timeout."),
        ("edit", {"path": "x"}, "edit: 'old_str' and 'new_str' are missing; it takes: path, old_str, "),
        ("read", {"path": None}, "read: 'path' must be a text, not null."),
        ("read", {"path": ""}, "read: 'path' must be a text that is not empty, not \"\"."),
        ("read", {"path": 3}, "read: 'path' must be a text, not 3."),
        ("read", {"path": "x", "ofset": 3}, "read has no argument 'ofset'. Did you mean 'offset'? It takes: path, "),
        ("read", {"path": "x", "banana": 3}, "read has no argument 'banana'. It takes: path, offset, limit."),
        ("read", {"path": "x", "offset": -1}, "read: 'offset' must be at least 0, not -1."),
        ("read", {"path": "x", "limit": 2_000_000}, "read: 'limit' must be at most 1,000,000, not 2000000."),
        ("bash", {"command": {(1, 2): 3}}, "bash: 'command' must be a text, not a Python dict."),
        ("read", {"path": "x", "limit": 0}, "read: 'limit' must be at least 1, not 0."),
        ("read", {"path": "x", "limit": 1.5}, "read: 'limit' must be a whole number, not 1.5."),
        ("read", {"path": "x", "limit": "many"}, "read: 'limit' must be a whole number, not \"many\"."),
        ("read", {"path": "x", "limit": True}, "read: 'limit' must be a whole number, not true."),
        ("read", {"path": "x", "file_path": "y"}, "read: 'path' is given twice; pass it once."),
        (
            "edit",
            {"path": "x", "old_str": "a", "new_str": "b", "mode": "guess"},
            'edit: \'mode\' must be "replace" or "append_after" or "prepend_before", not "guess".',
        ),
        (
            "edit",
            {"path": "x", "old_str": "a", "new_str": "b", "replace_all": "maybe"},
            "edit: 'replace_all' must be true or false, not \"maybe\".",
        ),
        (
            "write",
            {"path": "x", "content": "a\ud800"},
            "write: 'content' has half of a surrogate pair at character 1; ",
        ),
        ("bash", {"command": "a\0b"}, "bash: 'command' has a NUL character at character 1; "),
        ("write", {"path": "x", "content": {"a": "b" * 200}}, 'write: \'content\' must be a text, not {"a": "bbb'),
        ("bash", "ls", 'bash: the arguments must be a JSON object, not "ls".'),
        ("bash", None, "bash: the arguments must be a JSON object, not null."),
    ],
)
def test_what_does_not_fit_is_answered_with_one_sentence(tool: str, given_: object, sentence: str) -> None:
    """It names the argument, what was given and what is allowed, so that the next try is right."""
    with pytest.raises(InvalidArguments) as caught:
        cleaned(tool, given_)
    assert str(caught.value).startswith(sentence)
    assert len(str(caught.value)) < 500


def test_an_object_that_is_no_json_is_a_wrong_argument_too() -> None:
    """A CodeAgent passes whatever Python has, lists that hold themselves included."""
    endless: list[object] = []
    endless.append(endless)
    for value in (endless, {1, 2}, object(), b"x", lambda: None):
        with pytest.raises(InvalidArguments, match="must be a text"):
            cleaned("bash", {"command": value})
    with pytest.raises(InvalidArguments, match="no plain JSON value"):
        cleaned("bash", {"command": 10**5000})
    with pytest.raises(InvalidArguments, match="at most 4,096 characters"):
        cleaned("read", {"path": "x" * 70_000})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["path", "command", "content", "old_str", "new_str", "timeout", "limit", "mode", "file_path"])


@given(st.sampled_from(sorted(TOOLS)), JSON | st.dictionaries(NAMES | st.text(), JSON, max_size=4))
def test_nothing_that_a_model_can_send_is_more_than_a_wrong_argument(tool: str, given_: object) -> None:
    """No input may raise anything else into the agent's framework."""
    with contextlib.suppress(InvalidArguments):
        assert set(TOOLS[tool].parameters["required"]) <= cleaned(tool, given_).keys()


@pytest.mark.parametrize("spec", TOOLS.values(), ids=TOOLS)
def test_a_schema_is_one_that_every_framework_takes(spec: Any) -> None:
    """Each rule is one framework's: identifiers, lengths, descriptions, no references, required ones first."""
    assert spec.name.isidentifier()
    assert len(spec.description) <= 1024
    schema = spec.parameters
    assert schema["additionalProperties"] is False
    assert list(schema["properties"])[: len(schema["required"])] == schema["required"]
    for name, rule in schema["properties"].items():
        assert name.isidentifier()
        assert rule["type"] in ("string", "integer", "boolean")
        assert 10 < len(rule["description"]) <= 1024
        assert not rule.keys() & {"$ref", "anyOf", "oneOf", "allOf"}
        if name not in schema["required"]:
            assert "(optional, default: " in rule["description"]
        for value in rule.get("enum", []):
            assert f'"{value}"' in rule["description"]
