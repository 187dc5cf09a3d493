"""What a store, its feed of commits and the one who follows it have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from tsstore.errors import InvalidArgumentError
from tsstore.key import KeyPattern, bounded, is_pattern

if TYPE_CHECKING:
    from tsstore.api import BucketInfo, Changed, Snapshot
    from tsstore.columns import Columns

PATTERNS_MAX = 1_000
_KEYS_REMEMBERED_MAX = 100_000


class Update(NamedTuple):
    """Rows of one bucket, ascending in time.

    Attributes:
        key: the bucket.
        rows: the rows, with the columns of the bucket.
        commit: the newest commit that they show. Of live rows the one that wrote them.
        is_live: whether they came as they were committed, and were not read from the store.
        is_correction: whether all of them are at or before the newest instant that came for this
            bucket. Of bars: slots written again, whose rows take the place of the ones known, or
            slots passed over. Of ticks: rows that came late.
        replaces: (first ns, last ns), both included, of rows that were read again because commits
            were missed and cannot be told apart: of this stretch of time they are all rows there
            are, and what came for it earlier no longer counts. None nearly always.
    """

    key: str
    rows: Columns
    commit: int
    is_live: bool = True
    is_correction: bool = False
    replaces: tuple[int, int] | None = None


class News(NamedTuple):
    """What a feed has to say.

    Attributes:
        commits: (number, rows by key), in the order of the commits.
        position: all commits up to this one have come with it or before.
        is_missing: whether some are missing in front of `commits`; the store has their rows.
    """

    commits: list[tuple[int, dict[str, Columns]]]
    position: int
    is_missing: bool = False


class Feed(Protocol):
    """Commits behind a position, for one reader.

    Attributes:
        position: where it began, and then that of the latest news.
    """

    position: int

    def get(self) -> News | None:
        """Wait for what comes next; None when it was closed.

        Raises:
            TsStoreError: nothing will come any more.
        """
        ...

    def pause(self, attempt: int) -> bool:
        """Wait a little, longer with each attempt; whether it was not closed meanwhile."""
        ...

    def close(self) -> None:
        """End it, and the waiting of whoever is in `get`; callable from any thread."""
        ...


class Home(Protocol):
    """What is asked of the store whose commits come."""

    @property
    def timezone(self) -> str:
        """Zone whose midnights bound days."""
        ...

    def list(self, pattern: str = ...) -> Sequence[str]:
        """Keys that match."""
        ...

    def info(self, key: str) -> BucketInfo:
        """First and last instant of a bucket."""
        ...

    def read(self, key: str, *, limit: int) -> Any:
        """The last rows of the buckets that a pattern names."""
        ...

    def snapshot(self, key: str, *, start: Any, end: Any) -> Snapshot:
        """Rows of a bucket, and of which moment they are."""
        ...

    def changed_since(self, position: int, pattern: str = ...) -> Changed:
        """Where buckets got rows since a commit."""
        ...


class Wanted:
    """The buckets that are followed.

    Args:
        patterns: a key, a pattern, or several of them.

    Raises:
        InvalidKeyError: not a key or pattern, or together too long.
        InvalidArgumentError: none, or too many.
    """

    def __init__(self, patterns: str | Sequence[str]) -> None:
        texts = [patterns] if isinstance(patterns, str) else list(patterns)
        if not 0 < len(texts) <= PATTERNS_MAX:
            raise InvalidArgumentError(
                f"{len(texts)} patterns; name one to {PATTERNS_MAX}, or use wider ones"
            )
        self._patterns = bounded(map(KeyPattern, texts))
        self._known: dict[str, bool] = {}

    @property
    def texts(self) -> list[str]:
        """The patterns as they were written."""
        return [pattern.text for pattern in self._patterns]

    @property
    def keys(self) -> list[str]:
        """Those of them that name a single bucket."""
        return [text for text in self.texts if not is_pattern(text)]

    def __call__(self, key: str) -> bool:
        """Whether a bucket is; remembered, for the same keys come again."""
        wanted = self._known.get(key)
        if wanted is None:
            wanted = any(pattern.matches(key) for pattern in self._patterns)
            if len(self._known) < _KEYS_REMEMBERED_MAX:
                self._known[key] = wanted
        return wanted


OpenFeed: TypeAlias = Callable[[Wanted, int | None], Feed]
"""Opens the feed behind a position, or without one from now on."""
