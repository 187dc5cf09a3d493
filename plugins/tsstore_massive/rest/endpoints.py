"""What all groups of endpoints share: one transport, and a count of what could not be used."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from tsstore_massive.rest import paging
from tsstore_massive.rest.decoding import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tsstore_massive.rest.limits import Limits
    from tsstore_massive.rest.transport import Transport
    from tsstore_massive.symbols import AssetClass

T = TypeVar("T")
P = TypeVar("P", bound=paging.HasNext)

_logger = logging.getLogger(__name__)


class Endpoints:
    """Asks, and counts what of the answers could not be used. Thread-safe.

    Args:
        transport: gets answers.
        limits: sizes and numbers.
    """

    def __init__(self, transport: Transport, limits: Limits) -> None:
        self._transport = transport
        self.limits = limits
        self._lock = threading.Lock()
        self._faults: Counter[str] = Counter()

    @property
    def faults(self) -> dict[str, int]:
        """Rows that could not be used and odd fields, by kind."""
        with self._lock:
            return dict(self._faults)

    def _rows(
        self,
        path: str,
        query: Mapping[str, Any],
        asset_class: AssetClass,
        row_type: type[T],
        name: str = "results",
    ) -> Iterator[T]:
        """All rows of a list, whatever its pages."""
        for page in self._pages(path, query, asset_class, rows_of(row_type, name)):
            self._count(page.faults, path)
            yield from page.rows

    def _pages(
        self,
        path: str,
        query: Mapping[str, Any],
        asset_class: AssetClass,
        decode: Callable[[bytes], P],
    ) -> Iterator[P]:
        return paging.pages(
            self._transport, path, query, asset_class, decode, pages_max=self.limits.pages
        )

    def _get(
        self,
        path: str,
        query: Mapping[str, Any],
        asset_class: AssetClass,
        decode: Callable[[bytes], T],
    ) -> T:
        return self._transport.get(paging.target_of(path, query), asset_class, decode)

    def _count(self, faults: Counter[str], path: str) -> None:
        with self._lock:
            new = [what for what in faults if what not in self._faults]
            self._faults.update(faults)
        for what in new:
            _logger.warning("%s: %s; counted from now on, not told again", path, what)


def in_path(symbol: str) -> str:
    """A symbol as a part of a path, which nothing in it can leave."""
    return quote(symbol, safe=":")
