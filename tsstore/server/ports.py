"""All ports of one server, which share its threads and counters: HTTP, and gRPC if it is wanted."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from tsstore import __version__
from tsstore.errors import ConfigError
from tsstore.server.http import create_app
from tsstore.server.lanes import Lanes
from tsstore.server.metrics import Metrics
from tsstore.server.serve import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsstore.clock import Clock
    from tsstore.server.grpc.serve import RunningGrpcServer
    from tsstore.server.served import ServedStore
    from tsstore.server.settings import ServerSettings
    from tsstore.server.stream import StreamHub


class Ports:
    """Running servers of one store.

    Attributes:
        url: where clients on this machine reach /rpc and the rest of HTTP.
        replication_url: where other servers follow this one; None where they may not.
        grpc_target: where they reach gRPC, such as `127.0.0.1:5995`; None where it is not served.
    """

    def __init__(
        self,
        store: ServedStore,
        settings: ServerSettings,
        *,
        hub: StreamHub,
        heartbeat: Callable[[], Mapping[str, Any]] = dict,
        clock: Clock | None = None,
    ) -> None:
        """Accept connections; see `create_app` for the arguments.

        Raises:
            ConfigError: an address cannot be listened on, or a package for gRPC is missing.
        """
        with ExitStack() as stack:
            lanes = stack.enter_context(closing(Lanes(settings)))
            metrics = Metrics()
            grpc = None
            if settings.grpc_port is not None:
                grpc = stack.enter_context(_serve_grpc(store, settings, metrics, lanes))
            self.grpc_target = None if grpc is None else grpc.target
            app = create_app(
                store,
                settings,
                hub=hub,
                heartbeat=lambda: {**self._addresses(), **heartbeat()},
                clock=clock,
                metrics=metrics,
                lanes=lanes,
            )
            self.url = stack.enter_context(serve(app, settings)).url
            self.replication_url = None
            if settings.replication_port is not None:
                other = replace(settings, port=settings.replication_port)
                self.replication_url = stack.enter_context(serve(app, other)).url
            self._grpc = grpc
            self._stack = stack.pop_all()

    def _addresses(self) -> dict[str, str]:
        return {} if self.grpc_target is None else {"grpc": self.grpc_target}

    def stop(self) -> None:
        """Stop accepting, let calls under way finish for a moment, end the rest.

        Raises:
            TsStoreError: a thread did not end in time.
        """
        if self._grpc is not None:
            self._grpc.begin_to_stop()  # so that both let calls finish at the same time
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _serve_grpc(
    store: ServedStore, settings: ServerSettings, metrics: Metrics, lanes: Lanes
) -> RunningGrpcServer:
    try:
        from tsstore.server.grpc.serve import serve_grpc
        from tsstore.server.grpc.service import MarketstoreService
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"grpc_listen_port: serving gRPC needs {error.name}, which is not installed; install "
            "tsstore[grpc], or leave the key out"
        ) from None
    service = MarketstoreService(store, settings, metrics=metrics, lanes=lanes, version=__version__)
    return serve_grpc(service, settings)
