"""A sandbox on this machine: the server in a child process that never outlives its owner.

A local sandbox confines nothing: commands run as the user who started it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path

from sandbox_tools import operations
from sandbox_tools.errors import SandboxError, StartError
from sandbox_tools.transport import Endpoint, Transport

PASSED_ON = ("HOME", "LOGNAME", "PATH", "PYTHONPATH", "SHELL", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")
"""The variables of the owner that reach the sandbox unasked. No key or token of the owner is among them."""

STOP_TIMEOUT = 15.0
"""Seconds that a server may take to end its commands and itself."""


class LocalHost:
    """A server in a child process, reached through a unix socket.

    Arguments:
        work_dir: where commands run; None for a temporary folder that goes with the sandbox.
        env: added to the environment of every command. Of the owner's own environment only `PASSED_ON` is there.
    """

    def __init__(self, work_dir: str | os.PathLike[str] | None, env: Mapping[str, str] | None) -> None:
        self.owned = True
        self.name = "local"
        self._owner = os.getpid()
        if work_dir is not None and not os.path.isdir(work_dir):
            raise StartError(
                f"The working directory {os.fspath(work_dir)} is not there, or is no folder. Make it first."
            )
        given: Mapping[str, object] = env or {}
        if wrong := [name for name, value in given.items() if not isinstance(value, str)]:
            raise StartError(f"env: the value of {wrong[0]} must be a text.")
        token = secrets.token_hex(32)
        with contextlib.ExitStack() as undo:
            self._folder = tempfile.mkdtemp(prefix="sandbox-", dir=_short_folder())
            undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self.work_dir = os.path.realpath(work_dir or os.path.join(self._folder, "work"))
            self._socket = os.path.join(self._folder, "socket")
            self.endpoint = Endpoint("http://sandbox", token, socket=self._socket)
            lifeline, self._lifeline = os.pipe()
            undo.callback(os.close, self._lifeline)
            try:
                os.makedirs(self.work_dir, exist_ok=True)
                self._process = self._spawn(lifeline, hashlib.sha256(token.encode()).hexdigest(), env or {})
            except OSError as error:
                raise StartError(f"The local sandbox could not be started: {error}.") from error
            finally:
                os.close(lifeline)
            undo.pop_all()
        self._finalizer = weakref.finalize(self, _end, self._process, self._lifeline, self._folder, self._owner)
        self._wait_until_ready()

    def _spawn(self, lifeline: int, token_sha256: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with socket.socket(socket.AF_UNIX) as listener, open(os.path.join(self._folder, "log"), "wb") as log:
            listener.bind(self._socket)
            listener.listen(1024)
            settings = {
                "TOKEN_SHA256": token_sha256,
                "FD": listener.fileno(),
                "WORK_DIR": self.work_dir,
                "ENV": json.dumps(dict(env)),
                "LIFELINE_FD": lifeline,
                "OWNER_PID": self._owner,
                "LOG_DIR": os.path.join(self._folder, "output"),
                "REMOVE_AT_END": self._folder,
            }
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "sandbox_tools_server"],
                cwd="/",
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
                | {f"SANDBOX_TOOLS_{name}": str(value) for name, value in settings.items()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno(), lifeline],
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        """The socket listens already: the first answer comes as soon as the server runs, with no polling."""
        transport = Transport(self.endpoint)
        try:
            transport.run(operations.health(patience=0))
        except SandboxError as error:
            message = f"The local sandbox did not start. Its server said:\n{self._log()}"
            self.close()
            raise StartError(message) from error
        except BaseException:
            self.close()
            raise
        finally:
            transport.close()

    def _log(self) -> str:
        text = ""
        with contextlib.suppress(FileNotFoundError):  # the server took its folder with it
            text = Path(self._folder, "log").read_text(encoding="utf-8", errors="replace")
        return text[-2000:].strip() or "(nothing)"

    @property
    def status(self) -> str:
        """`RUNNING`, or `STOPPED` once the server's process has ended."""
        return "RUNNING" if self._process.poll() is None else "STOPPED"

    def close(self) -> None:
        """End the server, all that runs in it, and the temporary folder."""
        self._finalizer()

    def __del__(self) -> None:
        if "_finalizer" in self.__dict__ and self._finalizer.alive and os.getpid() == self._owner:
            warnings.warn(f"A local sandbox in {self.work_dir} was never closed", ResourceWarning, stacklevel=1)
            self.close()


def _end(process: subprocess.Popen[bytes], lifeline: int, folder: str, owner: int) -> None:
    os.close(lifeline)
    if os.getpid() != owner:  # a forked child ends: the sandbox is its parent's
        return  # pragma: no cover  (the child is not measured)
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> str | None:
    """Where temporary folders go, unless a socket's path there would be too long (108 bytes, unix(7))."""
    return None if len(os.fsencode(tempfile.gettempdir())) < 70 else "/tmp"
