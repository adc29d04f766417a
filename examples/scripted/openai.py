"""An OpenAI client with nobody behind it, for both of its APIs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from . import ANSWER, CALLS


class ScriptedClient:
    """As much of `openai.OpenAI` as the examples use."""

    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self._complete))
        self.responses = SimpleNamespace(create=self._respond)
        self._turn = 0

    def _next(self) -> tuple[str, SimpleNamespace | None]:
        """What to say, and what to call."""
        self._turn += 1
        if self._turn > len(CALLS):
            return ANSWER, None
        name, arguments = CALLS[self._turn - 1]
        return "", SimpleNamespace(name=name, arguments=json.dumps(arguments))

    def _complete(self, **request: Any) -> SimpleNamespace:
        text, function = self._next()
        calls = [SimpleNamespace(id=f"call_{self._turn}", type="function", function=function)] if function else None
        message = SimpleNamespace(role="assistant", content=text, tool_calls=calls)
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])

    def _respond(self, **request: Any) -> SimpleNamespace:
        text, function = self._next()
        if function is None:
            return SimpleNamespace(output=[], output_text=text)
        call = SimpleNamespace(type="function_call", call_id=f"call_{self._turn}", **vars(function))
        return SimpleNamespace(output=[call], output_text=text)
