"""`tsstore start`: the store, the server and the plugins of one mkts.yml in one process."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tsstore
from tsstore.cli.logs import set_up_logging
from tsstore.cli.paths import FilledPath
from tsstore.clock import SystemClock
from tsstore.config import FILE_NAME, Config, load_config, read_secret
from tsstore.host import PluginHost, load_plugins
from tsstore.redact import Redactor, secrets_in_environment
from tsstore.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import msgspec

    from tsstore.host import Plugins
    from tsstore.server.settings import ServerSettings
    from tsstore.store import Store

_STORE_KEYS = (
    "wal_sync",
    "wal_sync_interval_s",
    "memtable_bytes",
    "cache_bytes",
    "files_max",
    "compaction_bytes_per_s",
)
_SERVER_KEYS = (
    "insecure",
    "allowed_hosts",
    "allowed_origins",
    "tls_certificate",
    "tls_key",
    "backup_directory",
)
# Of the two seconds in which everything stops. The server lets calls finish for one second of them,
# at the same time; the store, which closes last, has the rest.
_PLUGINS_STOP_S = 1.3
# How long a thread that computes keeps the interpreter while another waits for it. A query waits
# several times on its way; with Python's 5 ms, beside a worker that stores 100,000 ticks a second,
# one in a hundred took 28 ms, with this 13 ms.
_SWITCH_S = 0.0005

logger = logging.getLogger("tsstore")


@click.command("start")
@click.option(
    "-c",
    "--config",
    "path",
    default=FILE_NAME,
    show_default=True,
    type=FilledPath(path_type=Path),
    help="The configuration; `tsstore init` writes one.",
)
def command(path: Path) -> None:
    """Run the server with the plugins of mkts.yml, until SIGINT or SIGTERM."""
    sys.setswitchinterval(_SWITCH_S)
    config = load_config(path)
    redactor = Redactor(secrets_in_environment())
    set_up_logging(config.log_level, redactor)
    plugins = load_plugins(config)
    for notice in (*config.notices, *plugins.notices):
        logger.warning("%s", notice)
    settings = server_settings(config)
    redactor.add(plugins.secrets)
    redactor.add([settings.token or "", settings.read_token or ""])
    with Signals() as signals:
        if config.replication.master_host:
            _run_replica(config, plugins, settings, redactor, signals)
        else:
            _run_writer(config, plugins, settings, redactor, signals)


def _run_writer(
    config: Config,
    plugins: Plugins,
    settings: ServerSettings,
    redactor: Redactor,
    signals: Signals,
) -> None:
    root = config.root_directory
    with tsstore.open(root, timezone=config.timezone, settings=store_settings(config)) as store:
        _run(config, plugins, settings, store, redactor, signals, announce=store.announce)
    logger.info("stopped; everything written is in %s", root)


def _run_replica(
    config: Config,
    plugins: Plugins,
    settings: ServerSettings,
    redactor: Redactor,
    signals: Signals,
) -> None:
    from tsstore.cli.following import following, for_replicas

    clock = SystemClock()
    with following(
        config, store_settings(config), lambda timeout_s: signals.wait(clock, timeout_s)
    ) as found:
        if found is None:
            logger.info("stopped before the first copy was whole; the next start goes on")
            return
        store, replica = found
        _run(
            config,
            for_replicas(plugins),
            settings,
            store,
            redactor,
            signals,
            workers=lambda: {"replication": replica.status()},
        )
    logger.info("stopped; the replica is in %s", config.root_directory)


def store_settings(config: Config) -> tsstore.Settings:
    """The store's settings: its defaults, and what mkts.yml sets."""
    return tsstore.Settings(**dict(_present(config, _STORE_KEYS)))


def server_settings(config: Config) -> ServerSettings:
    """The server's settings: its defaults, and what mkts.yml sets.

    Raises:
        ConfigError: a token cannot be read, or the server would be open to everybody.
    """
    from tsstore.server.settings import MIB, ServerSettings

    values = dict(_present(config, _SERVER_KEYS))
    values |= _present(config.limits, config.limits.__struct_fields__)
    if config.listen_host:
        values["host"] = config.listen_host
    if config.listen_port is not None:
        values["port"] = config.listen_port
    if config.grpc_listen_port is not None:
        values["grpc_port"] = config.grpc_listen_port
    if config.grpc_max_send_msg_size is not None:
        values["grpc_send_bytes_max"] = config.grpc_max_send_msg_size * MIB
    if config.grpc_max_recv_msg_size is not None:
        values["grpc_receive_bytes_max"] = config.grpc_max_recv_msg_size * MIB
    if config.replication.enabled:
        values["replication_port"] = config.replication.listen_port
    if config.token_file is not None:
        values["token"] = read_secret(config.token_file, "token_file")
    if config.read_token_file is not None:
        values["read_token"] = read_secret(config.read_token_file, "read_token_file")
    return ServerSettings(**values)


def _present(keys: msgspec.Struct, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name in names:
        value = getattr(keys, name)
        if value is not None:
            yield name, value


def _run(
    config: Config,
    plugins: Plugins,
    settings: ServerSettings,
    store: Store,
    redactor: Redactor,
    signals: Signals,
    *,
    announce: Callable[[str], None] = lambda _url: None,
    workers: Callable[[], dict[str, Any]] = dict,
) -> None:
    from tsstore.server.ports import Ports
    from tsstore.server.stream import StreamHub

    clock = SystemClock()
    is_fed = any(getattr(trigger.build, "publishes", False) for trigger in plugins.triggers)
    hub = StreamHub(queue_bytes_max=settings.stream_queue_bytes, is_fed=is_fed)
    host = PluginHost(
        plugins,
        store,
        clock=clock,
        redactor=redactor,
        publish=hub.publish,
        timezone=store.timezone,
    )

    def heartbeat() -> Mapping[str, Any]:
        status = {"status": "not queryable"} if signals.stop else {}
        shown = host.status()
        return {**status, **shown, "workers": {**shown["workers"], **workers()}}

    with (
        Ports(store, settings, heartbeat=heartbeat, hub=hub, clock=clock) as server,
        ThreadPoolExecutor(1, "tsstore-stop") as beside,
    ):
        announce(server.url)
        also = "" if server.grpc_target is None else f" and gRPC at {server.grpc_target}"
        also += f" and replicas at {server.replication_url}" if server.replication_url else ""
        logger.info("serving %s at %s%s", config.root_directory, server.url, also)
        host.start()
        signals.wait(clock)
        # A second one ends it: whoever sent that does not want to wait.
        signals.wait(clock, config.stop_grace_period)
        plugins_stop = beside.submit(host.stop, _PLUGINS_STOP_S)
        server.stop()
        for name in plugins_stop.result():
            logger.warning("%s did not stop within %s s and was left behind", name, _PLUGINS_STOP_S)
