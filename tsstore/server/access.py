"""Who may do what: tokens, the roles they give, and the methods that a reader may call.

One place decides for all ports. A method that is not named here changes something, as far as
readers are concerned.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from enum import Enum
from typing import TYPE_CHECKING

from tsstore.errors import ForbiddenError

if TYPE_CHECKING:
    from tsstore.server.settings import ServerSettings

#: What is told to those who have no token; one text on all ports.
NO_TOKEN = "the server's token is missing or wrong"  # noqa: S105  (a text about one)
#: Methods that change nothing.
READING = frozenset(
    {
        "DataService.Query",
        "DataService.ListSymbols",
        "DataService.GetInfo",
        "DataService.ServerVersion",
        "TsStore.Asof",
        "TsStore.Await",
        "TsStore.ChangedSince",
        "TsStore.Digest",
        "TsStore.Piece",
        "TsStore.Read",
        "TsStore.Shipment",
        "TsStore.Snapshot",
        "TsStore.Sql",
        "TsStore.List",
        "TsStore.Info",
        "TsStore.Stats",
        "TsStore.Ping",
    }
)


class Role(Enum):
    """What a client may do."""

    READER = "reader"
    WRITER = "writer"


class Tokens:
    """The tokens of a server. Without any, everybody is a writer."""

    def __init__(self, settings: ServerSettings) -> None:
        tokens = {Role.WRITER: settings.token, Role.READER: settings.read_token}
        self._tokens = {role: token.encode() for role, token in tokens.items() if token is not None}

    @property
    def are_asked_for(self) -> bool:
        """Whether clients have to send one."""
        return bool(self._tokens)

    def role_of(self, authorization: str) -> Role | None:
        """The role of a client; None if it has none.

        Args:
            authorization: `Bearer TOKEN`, or HTTP basic with the token as its password, which is
                what `pymarketstore.Client("http://user:token@host:5993/rpc")` sends.
        """
        if not self._tokens:
            return Role.WRITER
        given = _token_in(authorization)
        # All are compared, so that the time tells nothing about any.
        found = [role for role, token in self._tokens.items() if hmac.compare_digest(given, token)]
        return found[0] if found else None


def check_role(method: str, role: Role) -> None:
    """See to it that a reader changes nothing.

    Raises:
        ForbiddenError: the method is one for writers.
    """
    if role is Role.READER and method not in READING:
        raise ForbiddenError(
            f"{method}: the token allows to read only; use the server's token for writing"
        )


def _token_in(authorization: str) -> bytes:
    scheme, _, credentials = authorization.partition(" ")
    given = credentials.strip().encode("utf-8", "replace")
    if scheme.lower() == "bearer":
        return given
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
