"""The store of a server that is a replica: copied first, then kept up with in a thread."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tsstore.config import read_secret
from tsstore.errors import TsStoreError
from tsstore.replica import Replica, ReplicaStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import tsstore
    from tsstore.config import Config
    from tsstore.host import Plugin, Plugins

logger = logging.getLogger(__name__)

_LOOK_S = 0.1


@contextmanager
def following(
    config: Config, settings: tsstore.Settings, is_stopping: Callable[[float], bool]
) -> Iterator[tuple[ReplicaStore, Replica] | None]:
    """A replica that keeps up as long as the context lasts; None if it was stopped before.

    Args:
        config: mkts.yml, which names the server to follow.
        settings: memory of the store.
        is_stopping: waits so many seconds at the most; whether the server is to stop.

    Raises:
        InvalidArgumentError: the directory and the other server do not belong together.
        LockedError: another process has the directory.
    """
    keys, root = config.replication, config.root_directory
    token = None if keys.token_file is None else read_secret(keys.token_file, "token_file")
    replica = Replica(
        root,
        keys.master_url,
        token=token,
        ca=keys.cert_file if keys.tls_enabled else None,
        pause_s=keys.retry_s,
        pause_factor=keys.retry_backoff_coeff,
    )
    stop = threading.Event()
    with closing(replica), ThreadPoolExecutor(1, "tsstore-replica") as pool:
        try:
            logger.info("copying %s to %s", replica.writer, root)
            copied = pool.submit(replica.begin, stop)
            while not copied.done():
                if is_stopping(_LOOK_S):
                    stop.set()
                    replica.abort()
            if not copied.result() or stop.is_set():
                yield None
                return
            with ReplicaStore(root, replica.writer, settings) as store:
                pool.submit(_follow, replica, store, stop)
                try:
                    yield store, replica
                finally:
                    stop.set()
                    replica.abort()
                    pool.shutdown()  # before the store is closed
        finally:
            stop.set()
            replica.abort()


def _follow(replica: Replica, store: ReplicaStore, stop: threading.Event) -> None:
    try:
        replica.follow(store, stop)
    except TsStoreError as error:
        logger.error("gave up following %s: %s", replica.writer, error)  # noqa: TRY400
    except Exception:
        logger.exception("gave up following %s", replica.writer)


def for_replicas(plugins: Plugins) -> Plugins:
    """The plugins that run on a replica, which nobody may write to: triggers that say so."""
    kept = tuple(trigger for trigger in plugins.triggers if _runs_on_replicas(trigger))
    for plugin in (*plugins.workers, *plugins.triggers):
        if plugin not in kept:
            logger.warning("%s %s does not run on a replica", plugin.kind, plugin.name)
    return replace(plugins, workers=(), triggers=kept)


def _runs_on_replicas(trigger: Plugin) -> bool:
    return bool(getattr(trigger.build, "runs_on_replicas", False))
