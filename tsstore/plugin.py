"""The contract of plugins: what they are given and what they must offer.

A **bgworker** has its own life inside the server (a feed). A **trigger** is called after rows of
matching buckets were committed: with the rows themselves (`fire`), or with where they changed
(`changed`), when it keeps something up to date that is computed from them. All are classes, found
by entry point (`tsstore.bgworkers`, `tsstore.triggers`) or as `package.module:Name`:

    class Worker:
        Config = MyConfig                      # a msgspec.Struct; `config:` of mkts.yml becomes one
        def __init__(self, context: WorkerContext, config: MyConfig) -> None: ...
        def run(self) -> None: ...             # returns once context.stop is set, or when done

    class Trigger:
        Config = MyConfig
        def __init__(self, context: TriggerContext, config: MyConfig) -> None: ...
        def fire(self, event: TriggerEvent) -> None: ...
        def close(self) -> None: ...

    class ChangeTrigger:
        Config = MyConfig
        def __init__(self, context: TriggerContext, config: MyConfig) -> None: ...
        def position(self) -> int: ...
        def changed(self, event: ChangeEvent) -> None: ...
        def close(self) -> None: ...

A **command** (`tsstore.commands`) is a `click.Command`, or a group of them, that becomes one of
`tsstore`. It is given the options that choose a store, and finds the chosen one in `ctx.obj`, a
`StoreLocation`:

    @click.command()
    @click.pass_obj
    def command(location: StoreLocation) -> None:
        with location.open_to_read() as store: ...

What a `Config` cannot tell by itself (a file that it names is not there) `check_config`, a static
method of the class, may refuse by raising `ConfigError`: it is called with the config before the
server starts, where the plugin is to run.

A bgworker that keeps something in the store of which there can be only one says so by `once`, a
text with what to do in place of a second entry, which is refused.

A replica, which nobody may write to, runs no bgworkers, and those triggers only whose class has
`runs_on_replicas = True`; they see every commit that comes by the log, bulk loads do not.
A trigger whose class has `publishes = True` feeds /ws; where there is none, the log says so when a
client subscribes.

A worker whose `run` raises is restarted with a growing pause; `FatalPluginError` says that trying
again cannot help (a wrong API key), and then it stays down, with the reason on /heartbeat.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tsstore.errors import TsStoreError

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore.columns import Columns


class FatalPluginError(TsStoreError):
    """A plugin cannot go on and trying again would not help; the text says what to change."""


@dataclass(frozen=True)
class WorkerContext:
    """What a bgworker is given.

    Attributes:
        name: its name in mkts.yml, or the module's.
        store: where it writes; the same interface as for every user.
        clock: the only source of time.
        logger: logs under the worker's name; secrets are masked by the host.
        stop: set when the server stops; `run` returns within two seconds of it.
        status: what /heartbeat and /metrics show of the worker; it puts JSON values in. What is in
            its `lines`, a mapping of names to mappings, is shown as numbers of each of them.
        timezone: the zone of mkts.yml.
    """

    name: str
    store: StoreApi
    clock: Clock
    logger: logging.Logger
    stop: threading.Event = field(default_factory=threading.Event)
    status: dict[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"


@dataclass(frozen=True)
class TriggerEvent:
    """Rows that were just committed, all of one timeframe and attribute group.

    Attributes:
        batches: bucket key to the rows written to it, ascending in time.
        commits: bucket key to the number of the commit of each row, int64 of shape (rows,). None
            where the trigger did not keep up and the rows were read from the store later: then it
            may have seen some of them, and versions in between are left out.
    """

    batches: Mapping[str, Columns]
    commits: Mapping[str, NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class ChangeEvent:
    """Where rows were written, replaced or deleted, of however many commits.

    Deletes from the first row of a bucket on are left out: they make room for new rows, and what
    was computed from the old ones may outlive them.

    Attributes:
        stretches: bucket key to stretches of time (first ns, last ns), both ends included,
            ascending and apart from each other. Their ends may lie far outside of the bucket's
            rows. A key without any is named because the trigger has just started.
        removed: keys of which rows may have been removed.
        position: once this is handled, all is handled that the store took up to this commit; None
            when more of the same commits follows.
    """

    stretches: Mapping[str, Sequence[tuple[int, int]]]
    removed: frozenset[str] = frozenset()
    position: int | None = None


class Publish(Protocol):
    """Sends one row to the subscribers of /ws."""

    def __call__(self, key: str, scalars: Mapping[str, Any], *, commit: int | None = None) -> None:
        """Send it; never waits.

        Args:
            key: the bucket.
            scalars: column name to value.
            commit: number of the commit that wrote the row, if it is certain.
        """
        ...


@dataclass(frozen=True)
class TriggerContext:
    """What a trigger is given.

    Attributes:
        name: its module in mkts.yml.
        store: reads and writes; a write by a trigger fires triggers like any other.
        clock: the only source of time.
        logger: logs under the trigger's name.
        publish: sends one row to the subscribers of /ws.
        timezone: the zone of mkts.yml.
        status: what /heartbeat shows of the trigger; it puts JSON values in.
    """

    name: str
    store: StoreApi
    clock: Clock
    logger: logging.Logger
    publish: Publish
    timezone: str = "UTC"
    status: dict[str, Any] = field(default_factory=dict)


class StoreLocation(Protocol):
    """The store that a command works on, by its options and ./mkts.yml."""

    def open_to_read(self) -> StoreApi:
        """The store, for reading; beside a writer as well."""
        ...

    def open_to_write(self, *, create: bool = False) -> StoreApi:
        """The store, or the server that runs on it; `create` makes one where there is none."""
        ...


class BgWorker(Protocol):
    """A plugin with its own life inside the server."""

    def run(self) -> None:
        """Work until `context.stop` is set."""
        ...


class Trigger(Protocol):
    """A plugin that is called after rows were committed."""

    def fire(self, event: TriggerEvent) -> None:
        """Handle the rows; batches of one key come in commit order, at least once."""
        ...

    def close(self) -> None:
        """Finish what is under way; the server stops."""
        ...


class ChangeTrigger(Protocol):
    """A plugin that keeps something up to date that is computed from rows.

    It misses nothing, also over a crash: what it had not finished it is told again. So it computes
    from the rows as they are in the store, and doing the same twice must do no harm.
    """

    def position(self) -> int:
        """The last `ChangeEvent.position` it has kept, in the store or elsewhere; 0 for none."""
        ...

    def changed(self, event: ChangeEvent) -> None:
        """Bring what is computed from these stretches up to date, then keep the position.

        What it raises is counted and logged; the same stretches come again later. The first event
        names every matching bucket.
        """
        ...

    def close(self) -> None:
        """Finish what is under way; the server stops."""
        ...
