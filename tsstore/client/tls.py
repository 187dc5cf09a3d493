"""What is needed to speak TLS to a server, and to say why it failed."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tsstore.client.address import Address


def tls_context(address: Address) -> ssl.SSLContext | None:
    """How to speak TLS to a server; None if it does not speak it.

    Raises:
        InvalidArgumentError: the file of certificates cannot be used.
    """
    if not address.is_tls:
        return None
    try:
        return ssl.create_default_context(cafile=address.ca)
    except OSError as error:
        raise InvalidArgumentError(
            f"ca {address.ca!r} cannot be used: {error.strerror or error}; name a PEM file with "
            "certificates"
        ) from None


def refused_certificate(url: str, error: ssl.SSLCertVerificationError) -> str:
    """A text about a server that could not show who it is."""
    return (
        f"{url} shows a certificate that is not trusted ({error.verify_message}); connect by a "
        "name that stands in it, and if its signer is not known to this machine, name the "
        "signer's certificate with connect(url, ca=...), --ca-file or $SSL_CERT_FILE"
    )
