"""The one error that the server's own code raises: a code of the protocol and what to do next."""

from __future__ import annotations

import errno
from http import HTTPStatus
from typing import Any

from .wire import ErrorCode, Problem

STATUS: dict[ErrorCode, int] = {
    "ambiguous_match": 409,
    "binary_file": 409,
    "body_too_large": 413,
    "command_conflict": 409,
    "command_ended": 410,
    "command_lost": 410,
    "encoding": 409,
    "file_error": 409,
    "file_not_found": 404,
    "identical": 409,
    "input_closed": 409,
    "internal": 500,
    "invalid_path": 422,
    "invalid_request": 422,
    "is_a_directory": 409,
    "method_not_allowed": 405,
    "no_match": 409,
    "no_space": 507,
    "not_a_directory": 409,
    "not_a_regular_file": 409,
    "offset_past_end": 416,
    "permission_denied": 403,
    "precondition_required": 428,
    "range_not_satisfiable": 416,
    "read_only": 403,
    "route_not_found": 404,
    "shutting_down": 503,
    "stale": 412,
    "too_many_commands": 429,
    "unauthorized": 401,
    "unknown_command": 404,
    "working_directory_missing": 409,
}
"""The HTTP status of each code."""

ERRNO: dict[int, ErrorCode] = {
    errno.EACCES: "permission_denied",
    errno.EDQUOT: "no_space",
    errno.EFBIG: "no_space",
    errno.EISDIR: "is_a_directory",
    errno.ELOOP: "invalid_path",
    errno.ENAMETOOLONG: "invalid_path",
    errno.ENOENT: "file_not_found",
    errno.ENOSPC: "no_space",
    errno.ENOTDIR: "not_a_directory",
    errno.EPERM: "permission_denied",
    errno.EROFS: "read_only",
}
"""What the operating system's refusals are called; any other is `file_error`."""


class Refused(Exception):
    """A request that is answered with an error of the protocol.

    Arguments:
        code: what went wrong, for a program; it decides the HTTP status.
        detail: what went wrong, in one sentence.
        hint: what to do next, in one sentence.
        data: what a program may need, as JSON.
    """

    def __init__(self, code: ErrorCode, detail: str, hint: str = "", **data: Any) -> None:
        super().__init__(detail)
        self.code: ErrorCode = code
        self.detail = detail
        self.hint = hint
        self.data = data

    @classmethod
    def from_os_error(cls, error: OSError, path: str) -> Refused:
        """Say what the operating system said of `path`."""
        code = ERRNO.get(error.errno or 0, "file_error")
        return cls(code, f"{path}: {error.strerror or error}.", path=path)

    def problem(self) -> Problem:
        """The error as it crosses the wire."""
        status = STATUS[self.code]
        return Problem(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=self.detail,
            code=self.code,
            hint=self.hint,
            retryable=self.code in ("too_many_commands", "shutting_down"),
            data=self.data,
            error=f"{self.detail} {self.hint}".strip(),
        )
