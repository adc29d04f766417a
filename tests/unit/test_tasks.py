"""Waiting in a task that may be cancelled meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from sandbox_tools.transport import uncancelled


async def test_a_cancel_comes_when_the_work_is_done() -> None:
    """An end that is half done leaves things running; the cancel is not lost either."""
    gate = asyncio.Event()
    task = asyncio.create_task(uncancelled(gate.wait()))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
