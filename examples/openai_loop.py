"""The agent's loop for both APIs of OpenAI, Chat Completions and then Responses, each in a sandbox of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from models import named, openai_client
from project import TASK, set_up, verdict

from sandbox_tools import Sandbox
from sandbox_tools_adapters import openai_tools, run_openai_tool_calls


def chat(client: Any, model: str, sandbox: Sandbox) -> str:
    """Until the model calls no more tools: its turn and the answers to its calls go back to it."""
    messages: list[Any] = [{"role": "user", "content": TASK}]
    while True:
        completion = client.chat.completions.create(model=model, messages=messages, tools=openai_tools())
        answers = run_openai_tool_calls(sandbox, completion)
        message = completion.choices[0].message
        if not answers:
            return message.content
        for call, answer in zip(message.tool_calls, answers, strict=True):
            show(call.function, answer["content"])
        messages += [message, *answers]


def responses(client: Any, model: str, sandbox: Sandbox) -> str:
    """The same, in the other API's words."""
    items: list[Any] = [{"role": "user", "content": TASK}]
    while True:
        response = client.responses.create(model=model, input=items, tools=openai_tools("responses"))
        answers = run_openai_tool_calls(sandbox, response)
        if not answers:
            return response.output_text
        calls = [item for item in response.output if item.type == "function_call"]
        for call, answer in zip(calls, answers, strict=True):
            show(call, answer["output"])
        items += [*response.output, *answers]


def show(call: Any, answer: str) -> None:
    """A call and what came of it."""
    print(f"> {call.name} {call.arguments}\n{answer}\n")


def main(loop: Callable[[Any, str, Sandbox], str], model: str | None) -> int:
    """Do the job with one of the loops; 0 if it is done."""
    print(f"=== {loop.__name__}\n")
    with Sandbox.local() as sandbox:
        set_up(sandbox)
        print(loop(openai_client(model), model or "scripted", sandbox))
        return verdict(sandbox)


if __name__ == "__main__":
    model = named(__doc__)
    sys.exit(main(chat, model) or main(responses, model))
