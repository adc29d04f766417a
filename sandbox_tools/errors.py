"""Everything that this library raises.

    SandboxError
    ├── Refused            the sandbox answered that it will not do it, with a code
    ├── Unreachable        no answer came from the sandbox
    ├── ProtocolError      an answer came that this version cannot understand
    ├── StartError         a sandbox could not be started
    ├── SandboxClosed      (RuntimeError) the sandbox was used after its end
    ├── NotOwned           (RuntimeError) someone else created the sandbox, so it is not ours to end
    └── MissingExtra       (ImportError) a framework is not installed

What a model did wrong is never raised: it is the text of a `ToolResult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SandboxError(Exception):
    """The root of all errors of this library."""


class Refused(SandboxError):
    """The sandbox answered that it will not do it.

    Attributes:
        code: what went wrong, for a program: one of the protocol's codes, such as `file_not_found` or `stale`.
        message: what went wrong, in one sentence.
        hint: what to do next, in one sentence; empty where there is nothing to add.
        retryable: whether the same request may succeed later, unchanged.
        data: what a program may need, such as the canonical `path` and its `version`.
        doubtful: whether the request was sent before without an answer, and may have been carried out then.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        retryable: bool = False,
        data: Mapping[str, Any] | None = None,
        doubtful: bool = False,
    ) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.data: Mapping[str, Any] = data or {}
        self.doubtful = doubtful


class Unreachable(SandboxError):
    """No answer came from the sandbox.

    Attributes:
        sent: whether the request may have arrived, and may have been carried out.
        final: whether trying again is pointless, because nothing is there that could answer later.
        begun: whether an answer had begun to come when the line broke.
    """

    def __init__(self, message: str, *, sent: bool, final: bool = False, begun: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.final = final
        self.begun = begun


class ProtocolError(SandboxError):
    """An answer came that this version cannot understand."""


class StartError(SandboxError):
    """A sandbox could not be started; nothing of it is left."""


class SandboxClosed(SandboxError, RuntimeError):
    """The sandbox was used after its end."""


class NotOwned(SandboxError, RuntimeError):
    """Someone else created the sandbox, so it is not ours to end."""


class MissingExtra(SandboxError, ImportError):
    """A framework is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(f"{extra} is not installed. Install it with: pip install 'sandbox-tools[{extra}]'")
