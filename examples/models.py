"""The model that an example talks to: a real one if it is named, else a scripted one that needs no account."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any


def named(description: str | None) -> str | None:
    """What follows `--model` on the command line, if anything."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="NAME", help="a real model (default: a scripted one, offline)")
    name: str | None = parser.parse_args().model
    return name


def openai_key() -> str:
    """The key of OpenAI, or of whatever speaks like it at OPENAI_BASE_URL."""
    if not os.environ.get("OPENAI_API_KEY"):
        sys.exit("A real model needs OPENAI_API_KEY in the environment, and OPENAI_BASE_URL if it is not OpenAI's own.")
    return os.environ["OPENAI_API_KEY"]


def openai_client(name: str | None) -> Any:
    """An OpenAI client, or what looks like one."""
    if name is None:
        from scripted.openai import ScriptedClient

        return ScriptedClient()
    try:
        from openai import OpenAI
    except ModuleNotFoundError:
        sys.exit("openai is not installed. Install it with: pip install 'sandbox-tools[openai]'")
    return OpenAI(api_key=openai_key())
