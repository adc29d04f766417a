"""A chat model of LangChain that says what was written down for it."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from . import ANSWER, CALLS


class ScriptedChatModel(GenericFakeChatModel):
    """It can be told which tools there are, and does not care."""

    def bind_tools(self, tools: Any, **options: Any) -> ScriptedChatModel:
        return self


def scripted() -> ScriptedChatModel:
    """A model that does the job once."""
    turns = [
        AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call_{number}", "type": "tool_call"}])
        for number, (name, arguments) in enumerate(CALLS)
    ]
    return ScriptedChatModel(messages=iter([*turns, AIMessage(ANSWER)]))
