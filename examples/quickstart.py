"""An agent mends a small project in a local sandbox, and you watch.

Its model is scripted, unless you name a real one with --model and have
OPENAI_API_KEY (and perhaps OPENAI_BASE_URL) in the environment.
"""

from __future__ import annotations

import sys
from typing import Any

from models import named, openai_client
from project import TASK, set_up, verdict
from rich.console import Console
from rich.text import Text

from sandbox_tools import Sandbox
from sandbox_tools_adapters import openai_tools, run_openai_tool_calls

TURNS = 30
console = Console(soft_wrap=True)


def run(client: Any, model: str, sandbox: Sandbox) -> str:
    """Let the model call tools until it has something to say."""
    messages: list[Any] = [{"role": "user", "content": TASK}]
    for _ in range(TURNS):
        message = ask(client, model, messages)
        if not message.tool_calls:
            return message.content or "(The model said nothing.)"
        for call in message.tool_calls:
            show(f"> {call.function.name} {call.function.arguments}", "bold cyan")
        answers = run_openai_tool_calls(sandbox, message)
        for answer in answers:
            show(answer["content"], "")
        messages += [message, *answers]
    return f"(The model was not done after {TURNS} turns.)"


def ask(client: Any, model: str, messages: list[Any]) -> Any:
    """The model's next turn."""
    try:
        return client.chat.completions.create(model=model, messages=messages, tools=openai_tools()).choices[0].message
    except Exception as error:  # whatever goes wrong between here and there
        sys.exit(f"{model} could not be asked: {error}")


def show(text: str, style: str) -> None:
    """Print a text as it is, and an empty line."""
    console.print(Text(text, style), end="\n\n")


if __name__ == "__main__":
    model = named(__doc__)
    client = openai_client(model)
    with Sandbox.local() as sandbox:
        set_up(sandbox)
        show(TASK, "bold")
        show(run(client, model or "scripted", sandbox), "bold green")
        sys.exit(verdict(sandbox))
