"""The folder of all output logs, and what an earlier server left in it."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sandbox_tools_server.settings import PREFIX, Settings, SettingsError
from sandbox_tools_server.wire import Stream

from .log import OutputLog
from .segments import Budget, Segments

logger = logging.getLogger(__name__)

SUFFIXES: dict[Stream, str] = {"stdout": "log", "stderr": "err"}


@dataclass(frozen=True, slots=True)
class Lost:
    """What is left of a command of an earlier server: its output, and when that was last written (epoch seconds)."""

    files: list[Path]
    size: int
    written_at: float

    @property
    def path(self) -> str | None:
        """The file of its output's beginning, if it printed anything."""
        return str(min(self.files, key=lambda file: (file.suffix != ".log", file))) if self.size else None


class Archive:
    """Makes the logs of commands, in one folder that only this user can open.

    Arguments:
        settings: where the folder is, and how much it may hold. Without a folder there is one of its own, which goes at
            the end.

    Raises SettingsError if the folder cannot be used, or another server uses it.
    """

    def __init__(self, settings: Settings) -> None:
        self._own = settings.log_dir is None
        self.folder = Path(settings.log_dir or tempfile.mkdtemp(prefix="sandbox-tools-logs-"))
        self._prefix = f"{self.folder}{os.sep}"
        self._executor = ThreadPoolExecutor(1, "logs")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.lost = _left_in(self.folder)
        except OSError as error:
            reason = "another server uses it" if isinstance(error, BlockingIOError) else error.strerror
            raise SettingsError(f"{PREFIX}LOG_DIR: {self.folder}: {reason}.") from None
        self._budget = Budget(settings.keep_logs - sum(lost.size for lost in self.lost.values()))
        self._room = settings.keep_logs // 4

    def new_log(self, id: str, stream: Stream, keep: int, changed: Callable[[], object]) -> OutputLog:
        """The log of one of a command's streams, of at most `keep` bytes on disk."""
        path = f"{self._prefix}{id}.{SUFFIXES[stream]}"
        return OutputLog(Segments(path, keep, self._budget), self._executor, changed)

    def _forget(self, id: str) -> None:
        self._executor.submit(self._delete, self.lost.pop(id))

    def _delete(self, lost: Lost) -> None:
        for file in lost.files:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("Old output could not be deleted: %s", error)
        self._budget.left += lost.size

    def tidy(self, aged: float, count: int) -> list[str]:
        """Delete what was lost before a time, and the oldest of what is too much or too many. Return the ids."""
        gone: list[str] = []
        excess = self.excess
        for id, lost in list(self.lost.items()):
            if len(self.lost) > max(count, 0) or excess > 0 or lost.written_at < aged:
                excess -= lost.size
                self._forget(id)
                gone.append(id)
        return gone

    @property
    def excess(self) -> int:
        """How many bytes should go, so that there is room for what is yet to be printed; below 0 if none."""
        excess = self._room - self._budget.left
        return max(excess, 1) if self._budget.starved else excess

    def relieved(self) -> None:
        """What could go was deleted: the disk may have room again."""
        self._budget.starved = False

    def close(self) -> None:
        """Wait until all is on disk; delete the folder if it was made here."""
        self._executor.shutdown()
        os.close(self._lock)
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)


def _left_in(folder: Path) -> dict[str, Lost]:
    found: dict[str, list[Path]] = {}
    for entry in os.scandir(folder):
        id, dot, suffix = entry.name.partition(".")
        if dot and suffix.partition(".")[0] in SUFFIXES.values() and entry.is_file(follow_symlinks=False):
            found.setdefault(id, []).append(Path(entry.path))
    lost = {id: _lost(files) for id, files in found.items()}
    return dict(sorted(lost.items(), key=lambda item: item[1].written_at))  # oldest first


def _lost(files: list[Path]) -> Lost:
    stats = [file.stat() for file in files]
    return Lost(files, sum(stat.st_size for stat in stats), max(stat.st_mtime for stat in stats))
