"""Where sandboxes come from."""

from .base import Host
from .local import LocalHost
from .remote import RemoteHost

__all__ = ["Host", "LocalHost", "RemoteHost"]
