"""Rows as they are committed: what a user goes through, from any thread or by a callback.

Why nothing is missed and nothing comes twice:

1. The feed is opened first. It tells its position: every later commit will come.
2. History is read in parts, each with the newest commit that it shows. Rows of the feed that lie in
   such a part and are of that commit or an earlier one have been read; all others have not.
3. Connections break and servers start again: the feed goes on behind its position.
4. If commits behind it are not kept any more, the store is asked where rows changed since, and
   what is there now is compared with what was handed out lately. What is older than that is handed
   out with `replaces`.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from tsstore.errors import BusyError, ConnectionFailedError, NotFoundError
from tsstore.following.catchup import Part, between, merged, parts
from tsstore.following.handedout import HandedOut
from tsstore.following.updates import Update, Wanted
from tsstore.key import BucketKey
from tsstore.timeframe import Timeframe
from tsstore.times import MAX_NS, MIN_NS, to_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from tsstore.api import Snapshot
    from tsstore.columns import Columns
    from tsstore.following.updates import Feed, Home, News, OpenFeed
    from tsstore.times import TimeLike

logger = logging.getLogger("tsstore.following")
_T = TypeVar("_T")


class _ClosedMeanwhileError(Exception):
    """The subscription was closed while the store was asked."""


def subscribe(
    home: Home,
    open_feed: OpenFeed,
    patterns: str | Sequence[str],
    *,
    after: int | None = None,
    on_update: Callable[[Update], None] | None = None,
) -> Subscription:
    """Rows that are committed from now on; see `Store.subscribe`."""
    wanted = Wanted(patterns)
    newest = _newest_rows(home, wanted) if after is None else {}
    handed_out = HandedOut(horizon_ns=MIN_NS if after is None else MAX_NS)
    for key, last_ns in newest.items():
        handed_out.begin(key, min(MAX_NS, last_ns + 1))  # earlier rows never come
    found = Subscription(home, open_feed(wanted, after), wanted, handed_out, newest=newest)
    return found.begin(on_update)


def follow(
    home: Home,
    open_feed: OpenFeed,
    patterns: str | Sequence[str],
    *,
    since: TimeLike | None = None,
    tz: str | None = None,
    on_update: Callable[[Update], None] | None = None,
) -> Subscription:
    """Rows since an instant, and then those that are committed; see `Store.follow`."""
    wanted = Wanted(patterns)
    since_ns = MIN_NS if since is None else to_ns(since, tz)
    for key in wanted.keys:
        home.info(key)  # says what is wrong with a key that is no bucket
    feed = open_feed(wanted, None)
    try:
        keys = [key for pattern in wanted.texts for key in home.list(pattern)]
    except BaseException:
        feed.close()
        raise
    history = list(dict.fromkeys(keys))
    found = Subscription(home, feed, wanted, HandedOut(), since_ns=since_ns, history=history, tz=tz)
    return found.begin(on_update)


def _newest_rows(home: Home, wanted: Wanted) -> dict[str, int]:
    """The instant of the last row of each bucket that has any."""
    newest = {}
    for pattern in wanted.texts:
        with suppress(NotFoundError):
            stored = set(home.list(pattern))
            found = home.read(pattern, limit=1)
            batches = found if isinstance(found, dict) else {pattern: found}
            for key, rows in batches.items():
                if key in stored and len(rows):
                    newest[key] = int(rows.ts[-1])
    return newest


class Subscription:
    """An iterator of `Update`, and a context manager. One thread goes through it; any may close it.

    Attributes:
        position: all updates of the commits up to this one were handed out, and handled by whoever
            has come for the next. Pass it to `subscribe(..., after=)` to go on there.
    """

    def __init__(
        self,
        home: Home,
        feed: Feed,
        wanted: Wanted,
        handed_out: HandedOut,
        *,
        since_ns: int = MIN_NS,
        history: Sequence[str] = (),
        newest: dict[str, int] | None = None,
        tz: str | None = None,
    ) -> None:
        self.position = feed.position
        self._home = home
        self._feed = feed
        self._wanted = wanted
        self._handed_out = handed_out
        self._history = history
        self._newest = dict(newest or {})
        self._tz = tz
        self._since_ns = since_ns
        self._since: dict[str, int] = {}
        # What was read of the store, and the newest commit that it shows.
        self._parts: dict[str, list[Part]] = {}
        self._parts_until = 0
        self._handing = feed.position  # the commit whose updates are being handed out
        self._base = feed.position  # rows of earlier commits were handed out, or not asked for
        self._ready: deque[Update] = deque()
        weakref.finalize(self, feed.close)  # of one that nobody closed
        self._updates = self._all()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def begin(self, on_update: Callable[[Update], None] | None) -> Self:
        """Start to call a function with each update, on a thread of its own."""
        if on_update is not None:
            self._thread = threading.Thread(
                target=self._call, args=(on_update,), name="tsstore-subscription", daemon=True
            )
            self._thread.start()
        return self

    def take(self) -> list[Update]:
        """All updates that are there, at least one; empty when it was closed.

        Raises:
            TsStoreError: nothing will come any more.
        """
        if self._is_closed:
            return []
        while not self._ready:
            updates = next(self._updates, None)
            if updates is None:
                return []
            self._ready.extend(updates)
        taken = list(self._ready)
        self._ready.clear()
        return taken

    def close(self) -> None:
        """End it: whoever waits for an update gets none. Callable from any thread."""
        self._is_closed = True
        self._feed.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the callback gets no more updates; returns whether that is so.

        Raises:
            Exception: what ended it, if it was not `close`: an error of the callback, or of the
                store.
        """
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return False
        if self._error is not None:
            raise self._error
        return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Update:
        while not self._is_closed:
            if self._ready:
                return self._handed(self._ready.popleft())
            self._ready.extend(self.take())
            if not self._ready:
                break
        raise StopIteration

    def _handed(self, update: Update) -> Update:
        """Move the position behind the commit before, if that was the last of its updates."""
        if update.is_live:
            if self._handing < update.commit:
                self.position = max(self.position, self._handing)
            self._handing = update.commit
        return update

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, on_update: Callable[[Update], None]) -> None:
        try:
            for update in self:
                on_update(update)
        except (Exception, SystemExit) as error:
            self._error = error
            logger.exception("a subscription ended")
        finally:
            self._is_closed = True
            self._feed.close()

    def _all(self) -> Iterator[list[Update]]:
        """Updates, a few at a time; ends when it was closed."""
        with suppress(_ClosedMeanwhileError):
            yield from self._of_history()
            while (news := self._feed.get()) is not None:
                if news.is_missing:
                    yield from self._catch_up()
                yield self._of(news)
                self.position = max(news.position, self.position)

    def _of_history(self) -> Iterator[list[Update]]:
        for key in self._history:
            for part in self._read(key, MIN_NS, MAX_NS):
                yield self._hand_out(key, part.rows, part.position, is_live=False)

    def _of(self, news: News) -> list[Update]:
        updates: list[Update] = []
        for commit, batches in news.commits:
            if commit <= self._base:
                continue
            if commit > self._parts_until:
                self._parts.clear()
            for key, rows in batches.items():
                updates += self._hand_out(key, self._new(key, commit, rows), commit)
        return updates

    def _new(self, key: str, commit: int, rows: Columns) -> Columns:
        """Those of the rows of a commit that are asked for and were not read already."""
        for part in self._parts.get(key, ()):
            rows = part.lacks(commit, rows)
        if self._since_ns == MIN_NS:
            return rows
        return between(rows, self._since_of(key, is_variable=rows.variable), MAX_NS)

    def _hand_out(
        self, key: str, rows: Columns, commit: int, *, is_live: bool = True
    ) -> list[Update]:
        """Rows as updates: those that came late or again apart from the others."""
        if not len(rows):
            return []
        self._handed_out.add(key, rows)
        rows = rows.in_zone(self._tz)
        newest = self._newest.get(key, MIN_NS)
        self._newest[key] = max(newest, int(rows.ts[-1]))
        if rows.ts[0] > newest:
            return [Update(key, rows, commit, is_live)]
        late = int(rows.ts.searchsorted(newest, "left" if rows.variable else "right"))
        updates = [
            Update(key, rows.slice(0, late), commit, is_live, is_correction=True),
            Update(key, rows.slice(late, len(rows)), commit, is_live),
        ]
        return [update for update in updates if len(update.rows)]

    def _catch_up(self) -> Iterator[list[Update]]:
        """Hand out what was committed since the position, as far as the store can tell."""
        self._parts.clear()  # all that they show is older than what is asked now
        answers = [
            self._ask(partial(self._home.changed_since, self.position, pattern))
            for pattern in self._wanted.texts
        ]
        stretches: dict[str, list[tuple[int, int]]] = {}
        for answer in answers:
            for key, found in answer.stretches.items():
                stretches.setdefault(key, []).extend(found)
        for key, found in stretches.items():
            for first, last in merged(found):
                for part in self._read(key, first, last):
                    yield self._make_up(key, part)
        self.position = self._base = min(answer.position for answer in answers)

    def _make_up(self, key: str, part: Part) -> list[Update]:
        """Of rows that changed, those that were not handed out, or in place of what was."""
        horizon = self._handed_out.horizon(key)
        early = between(part.rows, MIN_NS, max(horizon, MIN_NS + 1) - 1)
        late = between(part.rows, horizon, MAX_NS)
        updates = []
        if len(early):
            replaces = (part.first_ns, min(part.last_ns, horizon - 1))
            self._newest[key] = max(self._newest.get(key, MIN_NS), int(early.ts[-1]))
            updates = [Update(key, early.in_zone(self._tz), part.position, False, True, replaces)]
        fresh = self._handed_out.without(key, late)
        return updates + self._hand_out(key, fresh, part.position, is_live=False)

    def _read(self, key: str, first_ns: int, last_ns: int) -> Iterator[Part]:
        """The rows of a stretch that are asked for; rows of the feed that are there are dropped."""

        def snapshot(start: int | None, end: int | None) -> Snapshot:
            return self._ask(
                lambda: self._home.snapshot(key, start=_instant(start), end=_instant(end))
            )

        try:
            info = self._ask(lambda: self._home.info(key))
        except NotFoundError:  # destroyed meanwhile
            return
        first_ns = max(first_ns, self._since_of(key, is_variable=info.schema.is_variable))
        if first_ns > last_ns:
            return
        for part in parts(info, snapshot, first_ns, last_ns):
            self._parts.setdefault(key, []).append(part._replace(rows=part.rows.slice(0, 0)))
            self._parts_until = max(self._parts_until, part.position)
            yield part

    def _since_of(self, key: str, *, is_variable: bool) -> int:
        """The first instant that is asked for; of bars the slot that holds it."""
        if self._since_ns == MIN_NS or is_variable:
            return self._since_ns
        if key not in self._since:
            timeframe = Timeframe.parse(BucketKey.parse(key).timeframe)
            zone = self._ask(lambda: self._home.timezone)
            self._since[key] = int(timeframe.floor(np.array([self._since_ns]), zone)[0])
        return self._since[key]

    def _ask(self, question: Callable[[], _T]) -> _T:
        """Ask the store, again and again while it cannot be reached."""
        for attempt in count():
            try:
                return question()
            except (ConnectionFailedError, BusyError):
                if not self._feed.pause(attempt):
                    break
        raise _ClosedMeanwhileError


def _instant(ns: int | None) -> np.datetime64 | None:
    return None if ns is None else np.datetime64(ns, "ns")
