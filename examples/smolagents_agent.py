"""Both agents of smolagents with the tools of a sandbox: one calls them from code that it writes, one by JSON."""

from __future__ import annotations

import sys

from models import named, openai_key
from project import TASK, set_up, verdict
from smolagents import CodeAgent, Model, OpenAIModel, ToolCallingAgent

from sandbox_tools import ALL_TOOLS, Sandbox
from sandbox_tools_adapters import smolagents_tools


def write_code(model: Model) -> int:
    """Do the job with a CodeAgent; 0 if it is done."""
    with Sandbox.local() as sandbox:
        set_up(sandbox)
        # A CodeAgent calls code that takes over 30 seconds an error; a command that does becomes a job to come back to.
        session = sandbox.new_session(tools=ALL_TOOLS, yield_after=20)
        agent = CodeAgent(tools=smolagents_tools(session), model=model)
        agent.run(TASK)
        return verdict(sandbox)


def call_tools(model: Model) -> int:
    """Do the job with a ToolCallingAgent; 0 if it is done."""
    with Sandbox.local() as sandbox:
        set_up(sandbox)
        agent = ToolCallingAgent(tools=smolagents_tools(sandbox), model=model)
        agent.run(TASK)
        return verdict(sandbox)


def new_model(name: str | None) -> Model:
    """A real model at any endpoint that speaks like OpenAI's, or a scripted one."""
    if name is None:
        from scripted.smolagents import ScriptedModel

        return ScriptedModel()
    return OpenAIModel(name, api_key=openai_key())


if __name__ == "__main__":
    name = named(__doc__)
    sys.exit(write_code(new_model(name)) or call_tools(new_model(name)))
