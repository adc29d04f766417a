"""The routes of the protocol, and the rule by which they get their arguments."""

from .commands import CommandRoutes
from .facade import Facade
from .files import FileRoutes
from .health import HealthRoute
from .route import Route

__all__ = ["CommandRoutes", "Facade", "FileRoutes", "HealthRoute", "Route"]
