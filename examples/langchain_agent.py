"""An agent of LangChain with the tools of a sandbox, first in a thread and then in a task.

A real model is named with its provider, as in --model openai:NAME or
--model anthropic:NAME, and needs the provider's package and key.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from models import named
from project import TASK, set_up, verdict
from scripted.langchain import scripted

from sandbox_tools import Sandbox
from sandbox_tools_adapters import SandboxToolkit

JOB = {"messages": [{"role": "user", "content": TASK}]}


def in_a_thread(agent: Any) -> None:
    """Run the agent, and print every message as it comes."""
    for update in agent.stream(JOB, stream_mode="updates"):
        show(update)


async def in_a_task(agent: Any) -> None:
    """The same; if the task is cancelled, so is the command that runs."""
    async for update in agent.astream(JOB, stream_mode="updates"):
        show(update)


def show(update: dict[str, Any]) -> None:
    """The messages of one step."""
    for node in update.values():
        for message in node["messages"]:
            message.pretty_print()


def main(model: BaseChatModel, run: Callable[[Any], None]) -> int:
    """Do the job; 0 if it is done."""
    with Sandbox.local() as sandbox:
        set_up(sandbox)
        run(create_agent(model, SandboxToolkit.from_sandbox(sandbox).get_tools()))
        return verdict(sandbox)


if __name__ == "__main__":
    name = named(__doc__)
    try:
        first, second = (init_chat_model(name) if name else scripted() for _ in range(2))
    except (ImportError, ValueError) as error:  # no such provider, or its package is not installed
        sys.exit(str(error))
    sys.exit(main(first, in_a_thread) or main(second, lambda agent: asyncio.run(in_a_task(agent))))
