"""Orphans come to the server: collect the ones that ended, so that no zombie stays."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Container

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Let no process of the same ordinary user read this one's memory or environment (prctl(2), PR_SET_DUMPABLE)."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:  # pragma: no cover  (Linux has had both for longer than pidfd)
        raise OSError(ctypes.get_errno(), "prctl")


def reap_orphans(ours: Container[int]) -> None:
    """Collect the orphans that have ended; `ours` are the children that somebody else collects."""
    while (pid := _ended()) and pid not in ours:
        os.waitpid(pid, os.WNOHANG)


def _ended() -> int | None:
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return info.si_pid if info else None
