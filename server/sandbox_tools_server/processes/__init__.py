"""Commands: children, their output by offset, and their end."""

from .command import Command
from .commands import Commands

__all__ = ["Command", "Commands"]
