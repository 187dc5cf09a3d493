"""Who answers at an address where our server does not, and where that is."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsstore.client.address import Address

_ELSEWHERE = "name the port of /rpc (listen_port in mkts.yml, 5993 if it is not set)"
_GRPC = f"is a port of gRPC; {_ELSEWHERE}"
_HANDSHAKE_S = 2.0
_SHOWN_CHARACTERS = 60
#: What OpenSSL calls an answer that is no TLS, before and since version 3.2.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
#: Of HTTP/2, the first frame: three bytes of length, and its type.
_SETTINGS = 4
#: Statuses that no server of ours gives to /rpc, nor a proxy that has lost it.
_STRANGE = frozenset({301, 302, 303, 307, 308, 404, 405, 501})


def heard(text: str, characters: int = _SHOWN_CHARACTERS) -> str:
    """What the other side says, fit for a terminal: nothing that would steer it, and not all of it.

    Args:
        text: as it came.
        characters: the most that are shown.
    """
    plain = " ".join(text[: 2 * characters].split())[:characters]
    return "".join(one if one.isprintable() else "?" for one in plain)


def who_speaks(line: str) -> str:
    """What a first line that is no HTTP tells, as the rest of a sentence about the address."""
    data = line.encode("latin-1", "replace")
    if data[:1] == b"\0" and data[3:4] == bytes([_SETTINGS]):
        return _GRPC
    said = line.strip()[:_SHOWN_CHARACTERS]
    shown = f" ({heard(said)!r})" if said.isprintable() and said else ""
    return f"speaks no HTTP{shown}; it is another program: check host and port"


def who_hangs_up(address: Address) -> str | None:
    """Why one closes connections that ask, as far as a handshake tells; None if unknown."""
    protocol = _tls_protocol(address)
    if protocol == "h2":
        return _GRPC
    if protocol is not None and not address.is_tls:
        return f"speaks TLS; write {address.url.replace('http', 'https', 1)}"
    return None


def is_plain(address: Address, error: OSError) -> str | None:
    """What to say of a handshake that failed because the other side speaks no TLS; else None."""
    if not isinstance(error, ssl.SSLError) or error.reason not in _NO_TLS:
        return None
    return f"speaks no TLS; write {address.url.replace('https', 'http', 1)}"


def who_answers(status: int, reason: str) -> str | None:
    """What to say of an HTTP server that knows no /rpc; None if it may be ours, or a proxy of it.

    Args:
        status: of an answer without our header.
        reason: the text beside it.
    """
    if status not in _STRANGE:
        return None
    return f"is no tsstore server (it answers {status} {heard(reason)}); {_ELSEWHERE}"


def _tls_protocol(address: Address) -> str | None:
    """What a server agrees to speak behind TLS: `h2`, or nothing; None if it speaks no TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: only what it speaks matters
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        plain = socket.create_connection((address.host, address.port), _HANDSHAKE_S)
        with plain, context.wrap_socket(plain, server_hostname=address.host) as secured:
            return secured.selected_alpn_protocol() or ""
    except (OSError, ValueError):
        return None
