"""`python -m sandbox_tools_server`: run the server with settings from the environment."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import os
import resource
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Generator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from .app import create_app
from .processes import Commands
from .processes.reaper import adopt_orphans, hide_memory
from .settings import PREFIX, Settings, SettingsError

KEEP_ALIVE = 600
"""Seconds that an idle connection stays open: a model may think for minutes between two calls."""


class Server(uvicorn.Server):
    """uvicorn, stopping also when its owner is gone, and ending all commands before it waits for connections."""

    def __init__(self, config: uvicorn.Config, settings: Settings, commands: Commands) -> None:
        super().__init__(config)
        self.settings = settings
        self.commands = commands

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at a signal, but do not die of it afterwards, as uvicorn's own would: there is something to clean up."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.handle_exit)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        if self.settings.lifeline_fd is not None:
            loop.add_reader(self.settings.lifeline_fd, self.leave, self.settings.lifeline_fd)
        if self.settings.owner_pid is not None:
            try:
                owner = os.pidfd_open(self.settings.owner_pid)
            except ProcessLookupError:
                self.should_exit = True
            else:
                loop.add_reader(owner, self.leave, owner)

    def leave(self, fd: int) -> None:
        """The owner is gone."""
        asyncio.get_running_loop().remove_reader(fd)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.commands.stop()
        await super().shutdown(sockets)


def main() -> None:
    """Run until told to stop; exit with 2 if the settings are wrong."""
    hide_memory()
    if token := os.environ.pop(PREFIX + "TOKEN", None):
        _start_again_without(token)  # pragma: no cover  (nor where it is called)
    try:
        settings = Settings.from_environment(os.environ)
        _check_descriptors(settings)
        _limit_core(settings.max_core)
        app = create_app(settings)
        sockets = [_unix_socket(settings.uds)] if settings.uds else None
    except SettingsError as error:
        print(f"sandbox_tools_server: {error}", file=sys.stderr)  # noqa: T201  (a command says so to its terminal)
        sys.exit(2)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    if settings.remove_at_end:
        atexit.register(shutil.rmtree, settings.remove_at_end, ignore_errors=True)
    if settings.uds:
        atexit.register(os.unlink, settings.uds)
    adopt_orphans()
    _serve(app, settings, sockets)


def _start_again_without(token: str) -> None:  # pragma: no cover  (what is replaced cannot be measured)
    """Replace this process by one whose environment, which /proc shows for ever, never had the token."""
    os.environ[PREFIX + "TOKEN_SHA256"] = hashlib.sha256(os.fsencode(token)).hexdigest()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _serve(app: FastAPI, settings: Settings, sockets: list[socket.socket] | None) -> None:
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        fd=settings.fd,
        ws="none",
        access_log=False,
        log_level="info",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=5,
    )
    Server(config, settings, app.state.commands).run(sockets)


def _limit_core(size: int) -> None:
    """Set how large a core dump may be, for this process and all that it starts."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (size, size))
    except ValueError as error:  # pragma: no cover  (the tests run as root, who may raise any limit)
        raise SettingsError(f"{PREFIX}MAX_CORE: {error}.") from None


def _check_descriptors(settings: Settings) -> None:
    """See that the numbers that were passed are what they should be."""
    for name, number, right in (
        ("FD", settings.fd, stat.S_ISSOCK),
        ("LIFELINE_FD", settings.lifeline_fd, stat.S_ISFIFO),
    ):
        with contextlib.suppress(OSError):
            if number is None or right(os.fstat(number).st_mode):
                continue
        raise SettingsError(f"{PREFIX}{name}: {number} is no open {'socket' if name == 'FD' else 'pipe'}.")


def _unix_socket(path: str) -> socket.socket:
    """Listen on a path that only this user can open; a socket that nobody listens on any more gives way."""
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o077)
    try:
        if not _answers(path):
            Path(path).unlink(missing_ok=True)
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise SettingsError(f"{PREFIX}UDS: {path}: {error.strerror or error}.") from None
    finally:
        os.umask(before)
    listener.listen(1024)
    return listener


def _answers(path: str) -> bool:
    if not Path(path).is_socket():
        return os.path.lexists(path)  # what is no socket does not give way
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


if __name__ == "__main__":
    main()
