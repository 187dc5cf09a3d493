"""Messages of /feed: commits with their rows as columns, to clients that follow the store.

A client sends one `FeedRequest` and gets `FeedMessage`s: one at once, which tells where it begins,
then one for some commits whenever there are any, and one without rows when the heartbeat is due.
It may break off at any time and come back with `after` set to the last `position` it has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tsstore.wire import exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.columns import Columns


class FeedRequest(msgspec.Struct, omit_defaults=True):
    """What a client wants.

    Attributes:
        streams: patterns of buckets.
        after: a position; without one, what is committed from now on.
        heartbeat_s: longest silence.
    """

    streams: list[str]
    after: int | None = None
    heartbeat_s: float = 10.0


class FeedCommit(msgspec.Struct):
    """Rows of one commit, of the buckets that are wanted; as `exact.ReadResult` has them."""

    commit: int
    batches: list[exact.Batch]


class FeedMessage(msgspec.Struct, omit_defaults=True):
    """What is new.

    Attributes:
        position: all commits up to this one were sent.
        commits: in order.
        is_missing: whether commits in front of them are not kept any more.
        error: what is wrong with the request; nothing follows.
    """

    position: int
    commits: list[FeedCommit] = []
    is_missing: bool = False
    error: str = ""


def feed_commit(commit: int, batches: Mapping[str, Columns]) -> FeedCommit:
    """A commit on its way."""
    return FeedCommit(commit, exact.read_result(batches).batches)


def batches_of(message: FeedCommit) -> dict[str, Columns]:
    """The rows of a commit, at the client."""
    return exact.found_in(exact.ReadResult(message.batches), "UTC")
