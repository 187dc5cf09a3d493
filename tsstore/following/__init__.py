"""Rows as they are committed, with or without the history before them.

The same for the embedded store and for one behind a server: both hand in what they can be asked
(`Home`), and the commits behind a position (`Feed`).

- `subscription`  what the user goes through
- `catchup`       which rows of the store make up for commits that were missed
- `handedout`     the rows that the user got lately
- `localfeed`     the commits of a store in this process
- `updates`       what these have in common
"""

from tsstore.following.localfeed import LocalFeed
from tsstore.following.subscription import Subscription, follow, subscribe
from tsstore.following.updates import Feed, News, OpenFeed, Update, Wanted

__all__ = [
    "Feed",
    "LocalFeed",
    "News",
    "OpenFeed",
    "Subscription",
    "Update",
    "Wanted",
    "follow",
    "subscribe",
]
