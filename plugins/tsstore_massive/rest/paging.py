"""Lists that come in pages, each naming the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from tsstore_massive.errors import BadResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tsstore_massive.rest.transport import Transport
    from tsstore_massive.symbols import AssetClass


class HasNext(Protocol):
    """A page."""

    @property
    def next_url(self) -> str | None:
        """Where the next one is; nothing on the last."""
        ...


P = TypeVar("P", bound=HasNext)


def pages(
    transport: Transport,
    path: str,
    query: Mapping[str, Any],
    asset_class: AssetClass,
    decode: Callable[[bytes], P],
    *,
    pages_max: int,
) -> Iterator[P]:
    """All pages of a list, asked for one by one.

    Raises:
        BadResponseError: they lead in a circle, or do not end.
        MassiveError: one of them is not to be had.
    """
    target: str | None = target_of(path, query)
    seen = set[str]()
    while target is not None:
        if target in seen or len(seen) == pages_max:
            what = "leads in a circle" if target in seen else "does not end"
            raise BadResponseError(
                f"{path}: the list of pages {what} after {len(seen)} pages; run again later"
            )
        seen.add(target)
        page = transport.get(target, asset_class, decode)
        yield page
        target = _next_target(page.next_url, transport.prefix)


def target_of(path: str, query: Mapping[str, Any]) -> str:
    """Path and query; what is None in the query is left out, booleans are small letters."""
    given = {name: _text(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _next_target(next_url: str | None, prefix: str) -> str | None:
    """Path and query of a next page: whatever host it names, it is asked from ours."""
    if not next_url:
        return None
    try:
        parts = urlsplit(next_url)
    except ValueError:
        raise BadResponseError("the next page has no address that could be read") from None
    # Of `x:https://elsewhere/` the path is an address itself, to which the key would go.
    path = "/" + parts.path.removeprefix(prefix).lstrip("/")
    return f"{path}?{parts.query}" if parts.query else path
