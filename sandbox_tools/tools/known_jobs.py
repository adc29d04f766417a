"""Which jobs a session knows, and how far it was shown what they print. Pure."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

SHOWN = 80
"""How much of a command is shown in a list, in characters."""


def in_short(command: str) -> str:
    """A command as it is shown in a list: in one line, and only its beginning."""
    return " ".join(command[: 10 * SHOWN].split())[:SHOWN]


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What the model knows of a job.

    Attributes:
        command: what it runs, in short.
        offset: how many bytes of its output were shown, or left out and said so.
        stderr: the same of its stderr, if that is separate.
        ended: whether its end was told.
    """

    command: str = ""
    offset: int = 0
    stderr: int = 0
    ended: bool = False


class KnownJobs:
    """A map from ids to what the model knows of these jobs. Threads may share it."""

    def __init__(self) -> None:
        self._jobs: dict[str, KnownJob] = {}
        self._lock = threading.Lock()

    def find(self, id: str) -> KnownJob | None:
        """What is known of a job."""
        return self._jobs.get(id)

    def note(self, id: str, job: KnownJob) -> None:
        """Note what is known of a job now."""
        with self._lock:
            self._jobs[id] = job

    def all(self) -> dict[str, KnownJob]:
        """All that are known, oldest first."""
        with self._lock:
            return dict(self._jobs)

    def to_json(self) -> str:
        """All of it as text, to go on from later."""
        known = self.all().items()
        return json.dumps({id: [job.command, job.offset, job.stderr, job.ended] for id, job in known})

    @classmethod
    def from_json(cls, text: str) -> KnownJobs:
        """What `to_json` wrote; ValueError if it is none."""
        jobs = cls()
        try:
            for id, (command, offset, stderr, ended) in json.loads(text).items():
                jobs._jobs[str(id)] = KnownJob(str(command), int(offset), int(stderr), bool(ended))
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"These are no saved jobs: {error}.") from error
        return jobs
