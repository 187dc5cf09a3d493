"""Who may speak to the server.

A page in a browser on the same machine reaches loopback too, so an address alone protects nothing:

- `Host` must be an address, `localhost` or a name that is allowed. A page whose name was re-bound
  to our address sends its own name there. A token says more than a name, so with one any goes.
- `Origin`, which only browsers send, must be the server itself or an allowed page.
- With a token, `Authorization` must carry one. The role it gives goes with the request.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tsstore.server.access import NO_TOKEN, Role, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tsstore.server.metrics import Metrics
    from tsstore.server.settings import ServerSettings

#: Where the role of a client stands in the scope of its request.
ROLE = "tsstore.role"
_LOOKED_AT = (b"host", b"origin", b"authorization")


@dataclass(frozen=True)
class Refusal:
    """Why a request goes no further."""

    status: int
    text: str


class Guard:
    """ASGI middleware that lets requests through with a role, or answers 401 or 403."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._tokens = Tokens(settings)
        self._hosts = frozenset(
            name.lower() for name in ("localhost", settings.host, *settings.allowed_hosts)
        )
        self._origins = frozenset(origin.lower() for origin in settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        admitted = self.admit(_headers(scope))
        if isinstance(admitted, Refusal):
            self._metrics.refused.labels(str(admitted.status)).inc()
            await _answer(admitted, scope, send)
            return
        scope[ROLE] = admitted
        await self._app(scope, receive, send)

    def admit(self, headers: Mapping[str, str]) -> Role | Refusal:
        """The role of a client with these headers (lower-case names), or why it has none."""
        host = headers.get("host", "")
        if not self._tokens.are_asked_for and not self._is_known(host):
            return Refusal(403, f"host {host[:100]!r} is not served here; add it to allowed_hosts")
        origin = headers.get("origin")
        if origin is not None and not self._is_welcome(origin.lower(), host.lower()):
            return Refusal(
                403, f"pages of {origin[:100]!r} are not served; add it to allowed_origins"
            )
        role = self._tokens.role_of(headers.get("authorization", ""))
        return Refusal(401, NO_TOKEN) if role is None else role

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)

    def _is_welcome(self, origin: str, host: str) -> bool:
        # Plain http and https of our own address are the server's own pages.
        return origin in self._origins or origin in (f"http://{host}", f"https://{host}")


def _headers(scope: Scope) -> dict[str, str]:
    """Those that it looks at."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _LOOKED_AT
    }


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _answer(refusal: Refusal, scope: Scope, send: Send) -> None:
    body = refusal.text.encode("utf-8", "replace")
    kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b'Basic realm="tsstore", charset="UTF-8"'))
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
