"""Where a server is and how it is asked, checked before anything is sent."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from tsstore.errors import InvalidArgumentError
from tsstore.shown import shown

_DEFAULT_PORT = 5993
_NOT_A_URL = "the server's URL is not like http://127.0.0.1:5993; correct it"


@dataclass(frozen=True)
class Address:
    """A server, and what it asks for.

    Attributes:
        host: name or address.
        port: TCP port.
        is_tls: whether it speaks HTTPS.
        token: what it asks for; or None.
        ca: PEM file of certificates to trust instead of the machine's; or None.
    """

    host: str
    port: int
    is_tls: bool
    token: str | None = field(repr=False)
    ca: str | None = None

    @property
    def url(self) -> str:
        """The server, without any token."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.is_tls else ''}://{shown}:{self.port}"


def parse_address(url: Any, token: Any, ca: Any = None) -> Address:
    """The server that a URL names.

    Args:
        url: `http://127.0.0.1:5993`, `https://…`; a token may stand in it as a password.
        token: takes precedence over that; blanks around it are dropped.
        ca: PEM file of certificates to trust instead of the machine's; of https only.

    Raises:
        InvalidArgumentError: not a URL, a token that no header can hold, or a file of certificates
            for a server without any.
    """
    parts = _split(url)
    found = _checked_token(token or _token_in(parts))
    is_tls = parts.scheme == "https"
    if ca is not None and not is_tls:
        raise InvalidArgumentError(
            "ca is for servers that speak https, and the URL says http; write https://..."
        )
    path = None if ca is None else os.fsdecode(ca)
    return Address(parts.hostname or "", parts.port or _DEFAULT_PORT, is_tls, found, path)


def check_timeout(timeout_s: Any) -> float:
    """A number of seconds that a socket can wait.

    Raises:
        InvalidArgumentError: it is something else.
    """
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if is_number and 0 < timeout_s <= threading.TIMEOUT_MAX:
        return float(timeout_s)
    raise InvalidArgumentError(f"timeout_s {shown(timeout_s)} is not a number of seconds above 0")


def _split(url: Any) -> SplitResult:
    # The URL is not shown in errors: a mistyped one may hold the token.
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port  # is checked when it is asked for
        host = b"" if parts.hostname is None else parts.hostname.encode("idna")
    except (ValueError, TypeError):  # not text, a port that is no number, a name that is too long
        raise InvalidArgumentError(_NOT_A_URL) from None
    is_host = bool(host) and not any(byte <= 0x20 or byte == 0x7F for byte in host)
    if parts.scheme not in ("http", "https") or not is_host or port == 0:
        raise InvalidArgumentError(_NOT_A_URL)
    return parts


def _token_in(parts: SplitResult) -> str | None:
    return None if parts.password is None else unquote(parts.password)


def _checked_token(token: object) -> str | None:
    if token is None:
        return None
    text = token.strip() if isinstance(token, str) else ""
    # It is not shown in the error, nor by whatever else would choke on it.
    if not text or not text.isascii() or not text.isprintable():
        raise InvalidArgumentError(
            "the token is not text of printable ASCII characters; copy it from the server's config"
        )
    return text
