"""All commands of this server: each id runs at most once, and nothing is forgotten without a trace."""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.settings import Settings
from sandbox_tools_server.wire import CommandEnd, CommandsEnd, CommandStart, CommandStatus, Stream

from . import tree
from .archive import Archive
from .command import Command
from .log import OutputLog
from .spawn import Spawner

JOBS = 4
"""How many times as many commands as may run may have left something behind that still holds their output."""

LASTING = 1.0
"""How old a command is when it leaves its first trace on disk, in seconds."""

RETURN = 60.0
"""For how long a client may be away and still find a command that has ended meanwhile, in seconds."""

CROWD = 16
"""How many times as many ended commands as usual are kept for that."""

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
        self.spawner = Spawner(settings.shell_limits)
        self._archive = Archive(settings)
        self._settings = settings
        self._env = env
        self._live: dict[str, Command] = {}
        self._ended: OrderedDict[str, Command] = OrderedDict()
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._tombstones: OrderedDict[str, bool] = OrderedDict()  # whether it ever ran
        self._stopping = False

    async def recover(self) -> None:
        """End what the commands of an earlier server have left running: nobody can reach it any more."""
        if lost := self._archive.lost.keys():
            await tree.end(lambda: tree.marked(lost))

    async def start(self, id: str, spec: CommandStart) -> Command:
        """Run a command, or attach to it if that id runs it already."""
        if spec.boot_id not in (None, self.boot_id):
            raise self._lost(id)
        command = self._known(id)
        if command is None:
            self.tidy()
            self._check_new(id)
            share = self._settings.keep_output // (2 if spec.streams == "separate" else 1)
            command = Command(id, spec, self._log_maker(id, share), share // 4)
            self._live[id] = command
            self._starts[id] = asyncio.create_task(self._start(command))
        elif not _same(command.spec, spec):
            raise Refused("command_conflict", f"The id {id} runs another command.", "Choose a new id for each command.")
        if id in self._starts:  # whoever asked first may go away; the start goes on
            await asyncio.shield(self._starts[id])
        return command

    def _lost(self, id: str) -> Refused:
        lost = self._archive.lost.get(id)
        where = f" What it printed is in {lost.path}." if lost and lost.path else ""
        return Refused(
            "command_lost",
            f"The sandbox was restarted: the command is lost, and was not run again.{where}",
            "Look at what it left behind before you run it again.",
            boot_id=self.boot_id,
            log=lost.path if lost else None,
            output_bytes=lost.size if lost else 0,
        )

    def _log_maker(self, id: str, share: int) -> Callable[[Stream, Callable[[], object]], OutputLog]:
        def new_log(stream: Stream, changed: Callable[[], object]) -> OutputLog:
            return self._archive.new_log(id, stream, share, changed)

        return new_log

    def _check_new(self, id: str) -> None:
        if self._stopping:
            raise Refused("shutting_down", "The sandbox is stopping.")
        if id in self._archive.lost:
            raise self._lost(id)
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
        if command is None and id in self._archive.lost:
            raise self._lost(id)
        if command is None:
            raise Refused("unknown_command", f"There is no command {id}.", "List the commands to see which there are.")
        return command

    async def statuses(self) -> list[CommandStatus]:
        """Every command that is kept, oldest first."""
        marked = await asyncio.to_thread(tree.marks)
        kept = [command for command in (*self._ended.values(), *self._live.values()) if command.id not in self._starts]
        return [command.status(marked) for command in sorted(kept, key=lambda command: command.started_at)]

    async def end(self, id: str) -> CommandEnd:
        """End one command and all that it started. An id that did not run yet never will."""
        if id in self._starts:
            await asyncio.wait([self._starts[id]])
        command = self._known(id)
        if command is None:
            return await self._end_forgotten(id)
        killed, unverified = await command.kill()
        return CommandEnd(
            boot_id=self.boot_id, id=id, result="killed" if killed else "already_exited", unverified=unverified
        )

    async def _end_forgotten(self, id: str) -> CommandEnd:
        """End what an unknown command has left running: its mark is enough to find that."""
        known = self._tombstones.get(id, id in self._archive.lost)
        self._bury(id, ran=known)
        left = await asyncio.to_thread(tree.marked, {id})
        gone = not left or await tree.end(lambda: tree.marked({id}))
        result: Literal["killed", "already_exited", "unknown"]
        result = "killed" if left else "already_exited" if known else "unknown"
        return CommandEnd(boot_id=self.boot_id, id=id, result=result, unverified=not gone)

    async def end_all(self) -> CommandsEnd:
        """End every command, what they left running, and the orphans that no command owns up to."""
        if self._starts:
            await asyncio.wait(self._starts.values())
        marks = await asyncio.to_thread(tree.marks)
        left = [id for id, command in (self._ended | self._live).items() if command.done and id in marks]
        live = [command for command in self._live.values() if not command.done]
        ends = [command.end("killed") for command in live]
        await asyncio.gather(*ends)
        gone = await tree.end(tree.everything)
        for command in live:
            await command.over()
        ended = [*(command.id for command in live), *left]
        return CommandsEnd(boot_id=self.boot_id, ended=ended, unverified=not gone)

    async def stop(self) -> None:
        """Start nothing more and end everything."""
        self._stopping = True
        await self.end_all()
        self.spawner.close()
        for command in self._live.values():
            command.stop()
        await asyncio.gather(*self._settling, *(command.settle() for command in self._live.values()))
        await asyncio.to_thread(self._archive.close)

    def tidy(self) -> None:
        """Sort out what is done, and forget the oldest of it when it is too much or was done long ago."""
        if self._stopping:
            return
        for command in [command for command in self._live.values() if command.done]:
            self._ended[command.id] = self._live.pop(command.id)
            if command.has_files:
                settling = asyncio.create_task(command.settle())
                self._settling.add(settling)
                settling.add_done_callback(self._settling.discard)
        now = time.time()
        aged = now - self._settings.keep_seconds
        for id in self._archive.tidy(aged, self._settings.keep_commands - len(self._ended)):
            self._bury(id)
        excess = self._archive.excess
        while self._ended:
            oldest = next(iter(self._ended.values()))
            most = self._settings.keep_commands * (CROWD if oldest.ended_at > now - RETURN else 1)
            if len(self._ended) <= most and oldest.ended_at >= aged and excess <= 0:
                break
            del self._ended[oldest.id]
            excess -= oldest.on_disk
            oldest.forget()
            self._bury(oldest.id)
        self._archive.relieved()

    def keep_on_disk(self) -> None:
        """Leave a trace of every command that takes long, for the server that comes after a crash."""
        long_ago = time.time() - LASTING
        for command in self._live.values():
            if command.id not in self._starts and command.started_at < long_ago:
                command.keep_on_disk()

    def _bury(self, id: str, *, ran: bool = True) -> None:
        self._tombstones[id] = ran
        if len(self._tombstones) > TOMBSTONES:
            self._tombstones.popitem(last=False)


def _same(one: CommandStart, other: CommandStart) -> bool:
    return one.model_copy(update={"boot_id": None}) == other.model_copy(update={"boot_id": None})
