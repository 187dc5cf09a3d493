"""What options of all parts share: checked addresses, and texts without the key."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tsstore.errors import ConfigError

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_VENDOR_DOMAINS = (".massive.com", ".polygon.io")
_KEY = "api_key"


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK_HOSTS


def is_vendor(url: str) -> bool:
    """Whether a URL leads to the vendor, under any of the names that it has."""
    return (urlsplit(url).hostname or "").endswith(_VENDOR_DOMAINS)


def check_url(option: str, url: str, *, plain: str, secure: str, key: str = _KEY) -> None:
    """Let nothing pass that is no address, or would show the key to others.

    Args:
        option: the name of the option, for the message.
        url: its value.
        plain: the scheme without encryption, which only this machine may be reached with.
        secure: the other one.
        key: where the key belongs.

    Raises:
        ConfigError: what is wrong with it.
    """
    # Looked for before anything else, because all other messages show the value.
    if any(sign in url for sign in "@?#"):
        raise ConfigError(f"{option} holds more than scheme, host and path; put the key in {key}")
    scheme = _scheme(url)
    if scheme not in (plain, secure):
        raise ConfigError(f"{option} {url!r} is not a URL such as {secure}://host")
    if scheme == plain and not is_loopback(url):
        raise ConfigError(
            f"{option} {url!r} is unencrypted; use {secure}:// ({plain}:// is for servers on this "
            "machine)"
        )


def _scheme(url: str) -> str | None:
    """The scheme of a URL; None if there is no host, or no such port."""
    try:
        parts = urlsplit(url)
        return parts.scheme if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def shown_without_key(options: Any) -> str:
    """A `__repr__` of options that hides the key."""
    shown = (f"{name}={value!r}" for name, value in fields_without_key(options) if name != _KEY)
    return f"{type(options).__name__}({_KEY}=***, {', '.join(shown)})"


def fields_without_key(options: Any) -> list[tuple[str, Any]]:
    """A `__rich_repr__` of options that hides the key."""
    names: tuple[str, ...] = options.__struct_fields__
    return [(name, "***" if name == _KEY else getattr(options, name)) for name in names]
