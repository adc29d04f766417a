"""What the server is told at its start: read once from the environment, then never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, DirectoryPath, Field, Json, ValidationError

from .wire import Argument, EnvironmentName

PREFIX = "SANDBOX_TOOLS_"
"""Every variable that speaks to the server begins so, and no command gets to see one of them."""

MARKER = PREFIX + "COMMAND"
"""The one exception: in every command's environment, its id. What a command started is found again by it."""

QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "PIP_NO_INPUT": "1",
    "PYTHONUNBUFFERED": "1",
    "TERM": "dumb",
    "TQDM_DISABLE": "1",
    "UV_NO_PROGRESS": "1",
}
"""What keeps programs quiet and makes them ask nothing."""


class SettingsError(ValueError):
    """The environment does not say enough, or says something that cannot be."""


def digest(token: str) -> str:
    """The SHA-256 of a token, in hex: all of it that a server needs."""
    return hashlib.sha256(token.encode()).hexdigest()


class Settings(BaseModel):
    """All that can be set.

    Attributes:
        token_sha256: what the bearer token's SHA-256 must be, in hex.
        host, port: where to listen, unless `uds` or `fd` is given.
        uds: path of a unix socket to listen on.
        fd: number of a listening socket that is open already.
        work_dir: where relative paths start and commands run.
        env: added to the environment of every command, over all else; a JSON object.
        max_commands: how many commands may run at once.
        max_body: the largest JSON body, in bytes. Raw file content is not bounded by it.
        log_dir: the folder that commands' output is kept in. What an earlier server left there is found again. If there
            is none, it is a temporary one.
        keep_output: how much of one command's output is kept on disk, in bytes: a quarter from its start, the rest to
            its end.
        keep_logs: how much is kept on disk of all commands' output together, in bytes.
        keep_commands: how many ended commands can still be asked about.
        keep_seconds: for how long they can.
        max_core: the largest core dump of any process, in bytes.
        max_file: the largest file that a command may write, in bytes.
        max_open_files: how many files each process of a command may have open.
        max_memory: how much address space each process of a command may have, in bytes.
        max_processes: how many processes and threads the sandbox's user may have; root may have any number.
        heartbeat: a live stream with nothing to say sends a ping this often, in seconds.
        lifeline_fd: number of a pipe's reading end. When the pipe closes, the server stops.
        owner_pid: a process. When it ends, the server stops.
        remove_at_end: a folder that goes when the server does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    uds: str | None = None
    fd: int | None = Field(default=None, ge=0)
    work_dir: DirectoryPath = Field(default_factory=Path.cwd)
    env: Json[dict[EnvironmentName, Argument]] = Field(default_factory=dict[str, str])
    max_commands: int = Field(default=256, ge=1)
    max_body: int = Field(default=64 * 1024 * 1024, ge=1)
    log_dir: Path | None = None
    keep_output: int = Field(default=64 * 1024 * 1024, ge=8 * 1024 * 1024)
    keep_logs: int = Field(default=1024 * 1024 * 1024, ge=16 * 1024 * 1024)
    keep_commands: int = Field(default=256, ge=0)
    keep_seconds: float = Field(default=3600.0, ge=0)
    max_core: int = Field(default=0, ge=0, le=2**62)
    max_file: int | None = Field(default=None, ge=1024)
    max_open_files: int | None = Field(default=None, ge=16)
    max_memory: int | None = Field(default=None, ge=1024 * 1024)
    max_processes: int | None = Field(default=None, ge=1)
    heartbeat: float = Field(default=10.0, gt=0)
    lifeline_fd: int | None = Field(default=None, ge=0)
    owner_pid: int | None = Field(default=None, ge=1, le=2**31 - 1)
    remove_at_end: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from variables such as `SANDBOX_TOOLS_PORT`; `SettingsError` says which one is wrong."""
        given = {name.removeprefix(PREFIX): value for name, value in environ.items() if name.startswith(PREFIX)}
        given.pop("COMMAND", None)  # of a command whose child this server is
        if not given.get("TOKEN_SHA256"):
            raise SettingsError(f"Set {PREFIX}TOKEN to a long random text, or {PREFIX}TOKEN_SHA256 to its SHA-256.")
        try:
            return cls.model_validate({name.lower(): value for name, value in given.items()})
        except ValidationError as error:
            wrong = error.errors()[0]
            name = PREFIX + str(wrong["loc"][0]).upper()
            known = ", ".join(sorted(["TOKEN", *(field.upper() for field in cls.model_fields)]))
            hint = f" There are: {known}." if wrong["type"] == "extra_forbidden" else ""
            raise SettingsError(f"{name}: {wrong['msg']}.{hint}") from None

    @property
    def shell_limits(self) -> str:
        """The limits of each command, as options of bash's `ulimit`."""
        options = {
            "f": self.max_file and self.max_file // 1024,
            "n": self.max_open_files,
            "v": self.max_memory and self.max_memory // 1024,
            "u": self.max_processes,
        }
        return " ".join(f"-{option} {value}" for option, value in options.items() if value is not None)

    def command_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment that commands start from: the server's, without what is the server's own."""
        kept = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
        return kept | QUIET | dict(self.env)
