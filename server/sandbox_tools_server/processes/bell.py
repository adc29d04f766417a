"""Wake whoever waits for the next change."""

from __future__ import annotations

import asyncio


class Bell:
    """A change that many can wait for. It belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[bool]] = set()

    def ring(self) -> None:
        """Wake all that wait now."""
        for future in self._waiting:
            _settle(future, True)
        self._waiting.clear()

    async def wait(self, seconds: float) -> bool:
        """Return at the next ring, or after `seconds`. Whether it rang."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(future)
        alarm = loop.call_later(seconds, _settle, future, False)
        try:
            return await future
        finally:
            alarm.cancel()
            self._waiting.discard(future)


def _settle(future: asyncio.Future[bool], rang: bool) -> None:
    if not future.done():
        future.set_result(rang)
