"""Drives flows over HTTP, for threads and for tasks. Nothing else here knows httpx and sockets."""

from .driver import Transport
from .endpoint import Endpoint
from .tasks import uncancelled

__all__ = ["Endpoint", "Transport", "uncancelled"]
