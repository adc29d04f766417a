"""/v1/health: that the server is up, for anyone who asks."""

from __future__ import annotations

from starlette.responses import Response

from sandbox_tools_server.wire import Health

from .route import Route


class HealthRoute:
    """The handler, with an answer made beforehand."""

    def __init__(self, boot_id: str) -> None:
        self._answer = Health(boot_id=boot_id).model_dump_json().encode()

    def routes(self) -> list[Route]:
        """What there is, and who answers it."""
        return [Route("/v1/health", self.health, tags=["health"], response_model=Health)]

    async def health(self) -> Response:
        """Answer that the server is up, and which one it is. The one route that asks for no token."""
        return Response(self._answer, media_type="application/json")
