"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import FileWritten

from .attributes import check_writable, dress
from .copying import overwrite
from .facts import TextFacts
from .locks import locked
from .refusals import check_regular, refusing
from .staging import IRREPLACEABLE, Stage
from .versions import DIGEST_LIMIT, Digest, current_version, stat_version


class StagedFile:
    """The new content of the file at a canonical path, which nobody sees before `commit`.

    Close it with `discard`, or use it as a context manager: what is not committed by then is gone. It belongs to one
    thread at a time.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._facts = TextFacts()
        self._digest = Digest()
        with refusing(path):
            self._stage = Stage(path)

    def write(self, chunk: bytes) -> None:
        """Append to the new content."""
        with refusing(self.path):
            self._stage.write(chunk)
        self._facts.feed(chunk)
        self._digest.feed(chunk)

    def commit(self, *, expected_version: str | None, expected_path: str | None = None) -> FileWritten:
        """Put the new content in its place.

        Arguments:
            expected_path: the canonical path that the version is of; for another file, no version is expected.
            expected_version: the version of the content that it replaces, `absent` or None if there must be no such
                file, or `any`. Otherwise it is refused, and may be committed again with another version.
        """
        if expected_path not in (None, self.path):
            expected_version = None
        with refusing(self.path), locked(self.path):
            self._stage.sync()
            created = self._place(expected_version)
            _sync_folder(self.path)
            version = self._version()
        self.discard()
        facts = self._facts
        return FileWritten(path=self.path, version=version, created=created, size=facts.size, lines=facts.lines)

    def discard(self) -> None:
        """Forget the content unless it is committed; it may be discarded or committed already."""
        self._stage.close()

    def __enter__(self) -> StagedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _place(self, expected: str | None) -> bool:
        """Create or overwrite the file, and say whether it was created."""
        while (info := check_version(self.path, expected)) is None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with suppress(FileExistsError):  # another process was faster: what it made is checked in turn
                self._stage.create(self.path)
                return True
        check_writable(self.path)
        if not self._replace(info, expected):
            overwrite(self.path, self._stage.descriptor, lambda: check_version(self.path, expected))
        return False

    def _replace(self, info: os.stat_result, expected: str | None) -> bool:
        """Put another file in its place, unless it has other names or the system does not let it be replaced.

        Only the errors of `IRREPLACEABLE` say the latter. Any other is raised, and the old content is still there.
        """
        if info.st_nlink > 1 or not self._stage.beside:
            return False
        try:
            dress(self._stage.descriptor, self.path, info)
            self._stage.sync()
            check_version(self.path, expected)
            self._stage.replace(self.path)
        except OSError as error:
            if error.errno not in IRREPLACEABLE:
                raise
            return False
        return True

    def _version(self) -> str:
        if self._facts.size <= DIGEST_LIMIT:
            return self._digest.version()
        return stat_version(os.stat(self.path))


def check_version(path: str, expected: str | None) -> os.stat_result | None:
    """Refuse unless the file at a canonical path is the expected one; answer its status, None if there is none."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        if expected not in (None, "any", "absent"):
            raise _gone(path) from None
        return None
    check_regular(info, path)
    if expected != "any" and (current := current_version(path)) != expected:
        raise _another(path, expected, current)
    return info


def _gone(path: str) -> Refused:
    hint = "The file is gone; write it without an expected version to create it anew."
    return Refused("stale", f"{path} does not exist any more.", hint, path=path, version=None)


def _another(path: str, expected: str | None, current: str) -> Refused:
    if expected is None:
        hint = "Read it first, then send the version that was read."
        return Refused("precondition_required", f"{path} exists already.", hint, path=path, version=current)
    if expected == "absent":
        hint = "Read it before you overwrite or edit it."
        return Refused("stale", f"{path} exists by now.", hint, path=path, version=current)
    hint = "Read it again: its content is another one by now."
    return Refused("stale", f"{path} has changed since it was read.", hint, path=path, version=current)


def _sync_folder(path: str) -> None:
    """Wait until the name is on the disk, where directories can be waited for."""
    with suppress(OSError):
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
