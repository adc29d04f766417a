"""All commands of this server: each id runs at most once, and nothing is forgotten without a trace."""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Mapping

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.settings import Settings
from sandbox_tools_server.wire import CommandEnd, CommandsEnd, CommandStart, CommandStatus

from . import tree
from .command import Command
from .spawn import Spawner

JOBS = 4
"""How many times as many commands as may run may have left something behind that still holds their output."""

TOMBSTONES = 10_000
"""How many ids of forgotten commands are remembered, so that none of them runs again."""


class Commands:
    """Starts, finds and ends commands. It belongs to one event loop.

    Arguments:
        settings: how many may run, and how much of the ended ones is kept.
        boot_id: names this server process; a start meant for another one is refused.
        env: the environment that commands start from.
    """

    def __init__(self, settings: Settings, boot_id: str, env: Mapping[str, str]) -> None:
        self.boot_id = boot_id
        self.spawner = Spawner()
        self._settings = settings
        self._env = env
        self._live: dict[str, Command] = {}
        self._ended: OrderedDict[str, Command] = OrderedDict()
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._tombstones: OrderedDict[str, None] = OrderedDict()
        self._stopping = False

    async def start(self, id: str, spec: CommandStart) -> Command:
        """Run a command, or attach to it if that id runs it already."""
        if spec.boot_id not in (None, self.boot_id):
            raise Refused(
                "command_lost",
                "The sandbox was restarted: the command is lost, and was not run again.",
                "Look at what it left behind before you run it again.",
                boot_id=self.boot_id,
            )
        command = self._known(id)
        if command is None:
            self.tidy()
            self._check_new(id)
            command = Command(id, spec, self._settings.keep_output)
            self._live[id] = command
            self._starts[id] = asyncio.create_task(self._start(command))
        elif not _same(command.spec, spec):
            raise Refused("command_conflict", f"The id {id} runs another command.", "Choose a new id for each command.")
        if id in self._starts:  # whoever asked first may go away; the start goes on
            await asyncio.shield(self._starts[id])
        return command

    def _check_new(self, id: str) -> None:
        if self._stopping:
            raise Refused("shutting_down", "The sandbox is stopping.")
        if id in self._tombstones:
            raise Refused("command_ended", f"The command {id} was ended or is over, and its output is not kept.")
        running = sum(command.exit is None for command in self._live.values())
        if running >= self._settings.max_commands:
            raise Refused(
                "too_many_commands",
                f"{running} commands run already, as many as this sandbox allows.",
                "Wait until some have ended, or end some.",
            )
        if len(self._live) >= JOBS * self._settings.max_commands:
            raise Refused(
                "too_many_commands",
                f"{len(self._live)} commands have left programs running in the background, too many for this sandbox.",
                "End some of them.",
            )

    async def _start(self, command: Command) -> None:
        try:
            await command.start(self.spawner, self._directory(command.spec.cwd), self._env)
        except BaseException:
            del self._live[command.id]
            raise
        finally:
            del self._starts[command.id]

    def _directory(self, cwd: str | None) -> str:
        return os.path.join(self._settings.work_dir, os.path.expanduser(cwd or ""))

    def _known(self, id: str) -> Command | None:
        return self._live.get(id) or self._ended.get(id)

    def find(self, id: str) -> Command:
        """The command with that id."""
        command = self._known(id)
        if command is None:
            raise Refused("unknown_command", f"There is no command {id}.", "List the commands to see which there are.")
        return command

    def statuses(self) -> list[CommandStatus]:
        """Every command that is kept, oldest first."""
        kept = [command for command in (*self._ended.values(), *self._live.values()) if command.id not in self._starts]
        return [command.status() for command in sorted(kept, key=lambda command: command.started_at)]

    async def end(self, id: str) -> CommandEnd:
        """End one command and all that it started. An id that did not run yet never will."""
        if id in self._starts:
            await asyncio.wait([self._starts[id]])
        command = self._known(id)
        if command is None:
            known = id in self._tombstones
            self._bury(id)
            return CommandEnd(boot_id=self.boot_id, id=id, result="already_exited" if known else "unknown")
        killed, unverified = await command.kill()
        return CommandEnd(
            boot_id=self.boot_id, id=id, result="killed" if killed else "already_exited", unverified=unverified
        )

    async def end_all(self) -> CommandsEnd:
        """End every command, what they left running, and the orphans that no command owns up to."""
        if self._starts:
            await asyncio.wait(self._starts.values())
        live = [command for command in self._live.values() if not command.done]
        ends = [command.end("killed") for command in live]
        await asyncio.gather(*ends)
        gone = await tree.end(tree.everything)
        for command in live:
            await command.over()
        return CommandsEnd(boot_id=self.boot_id, ended=[command.id for command in live], unverified=not gone)

    async def stop(self) -> None:
        """Start nothing more and end everything."""
        self._stopping = True
        await self.end_all()
        self.spawner.close()

    def tidy(self) -> None:
        """Sort out what is done, and forget the oldest of it when it is too many or was done long ago."""
        for command in [command for command in self._live.values() if command.done]:
            self._ended[command.id] = self._live.pop(command.id)
        aged = time.time() - self._settings.keep_seconds
        while self._ended:
            oldest = next(iter(self._ended.values()))
            if len(self._ended) <= self._settings.keep_commands and oldest.ended_at >= aged:
                break
            del self._ended[oldest.id]
            self._bury(oldest.id)

    def _bury(self, id: str) -> None:
        self._tombstones[id] = None
        if len(self._tombstones) > TOMBSTONES:
            self._tombstones.popitem(last=False)


def _same(one: CommandStart, other: CommandStart) -> bool:
    return one.model_copy(update={"boot_id": None}) == other.model_copy(update={"boot_id": None})
