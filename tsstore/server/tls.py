"""The certificate that all ports show, looked at before anything listens."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tsstore.errors import ConfigError

if TYPE_CHECKING:
    from tsstore.server.settings import ServerSettings


def check_certificate(settings: ServerSettings) -> None:
    """See to it that the certificate and its key can be used, if there are any.

    Raises:
        ConfigError: a file cannot be read, is no PEM, is encrypted, or they are no pair.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, _no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"TLS: tls_certificate {settings.tls_certificate} with tls_key {settings.tls_key} "
            f"cannot be used: {reason}; name PEM files of a certificate and of its key"
        ) from None


def _no_password() -> str:
    """Without it, Python asks for one on the terminal."""
    raise ValueError("the key is encrypted, and the server has no password for it")
