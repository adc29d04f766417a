"""A model of smolagents that says what was written down for it."""

from __future__ import annotations

from typing import Any

from smolagents import ChatMessage, MessageRole, Model
from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction

from . import ANSWER, CALLS


class ScriptedModel(Model):
    """It writes calls for a `ToolCallingAgent`, and code for an agent that offers it no tools to call."""

    def __init__(self) -> None:
        super().__init__(model_id="scripted")
        self._turns = iter([*CALLS, ("final_answer", {"answer": ANSWER})])

    def generate(self, messages: Any, *args: Any, tools_to_call_from: Any = None, **kwargs: Any) -> ChatMessage:
        name, arguments = next(self._turns)
        if tools_to_call_from is None:
            spelled = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            return ChatMessage(MessageRole.ASSISTANT, f"<code>\nprint({name}({spelled}))\n</code>")
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        call = ChatMessageToolCall(id=f"call_{name}", type="function", function=function)
        return ChatMessage(MessageRole.ASSISTANT, "", tool_calls=[call])
