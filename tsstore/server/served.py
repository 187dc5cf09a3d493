"""What the server needs of the store it serves, besides the calls that everybody makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tsstore.api import StoreApi

if TYPE_CHECKING:
    from tsstore.api import Changed
    from tsstore.query import SnapshotEngine
    from tsstore.sql import SqlDatabase, SqlLimits
    from tsstore.storage.recent import RecentCommits
    from tsstore.storage.shipping import Shipping


class ServedStore(StoreApi, Protocol):
    """A store that was opened from a directory."""

    @property
    def engine(self) -> SnapshotEngine:
        """What queries read from."""
        ...

    def sql_database(self, limits: SqlLimits | None = None) -> SqlDatabase:
        """What carries out statements within limits."""
        ...

    @property
    def shipping(self) -> Shipping:
        """What replicas are given. Raises ReadOnlyError."""
        ...

    @property
    def timezone(self) -> str:
        """Zone whose midnights bound days."""
        ...

    @property
    def recent(self) -> RecentCommits:
        """The latest commits."""
        ...

    def changed_since(self, position: int, pattern: str = ...) -> Changed:
        """Where buckets got rows since a commit."""
        ...
