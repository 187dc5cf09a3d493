"""Keeping a directory the same as the store of a server; see `tsstore.storage.mirror`.

    replica = Replica("data", "http://writer:5996", token=...)
    if replica.begin(stop):                       # the first whole copy
        with ReplicaStore("data", replica.writer) as store:
            replica.follow(store, stop)           # until stop is set

Connections that break are tried again with growing pauses; meanwhile the store stays as it was and
can be read. `status()` tells how far behind it is.
"""

from __future__ import annotations

import logging
import random
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from tsstore.client.address import parse_address
from tsstore.client.rpc import Rpc
from tsstore.client.transport import Transport
from tsstore.clock import SystemClock
from tsstore.errors import (
    ConnectionFailedError,
    InvalidArgumentError,
    LockedError,
    NotFoundError,
    ReadOnlyError,
    TsStoreError,
)
from tsstore.storage.follower import Follower
from tsstore.storage.mirror import Mirror
from tsstore.storage.shipping import Shipment
from tsstore.store import Store
from tsstore.vfs import OsFileSystem
from tsstore.wire import replica as wire

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tsstore.clock import Clock
    from tsstore.storage.settings import Settings
    from tsstore.vfs import FileSystem

logger = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
#: The writer answers a wait after so long even when nothing happens, which shows that it lives.
_WAIT_S = 1.0
_PAUSE_LAST_S = 60.0
_PAUSE_REPLACED_S = 0.05


class Replica:
    """One replica.

    Args:
        path: its directory; nobody else may write there.
        url: of the server that it follows.
        token: what that asks for; one for readers is enough.
        ca: PEM file with the signer of its certificate, where that is not known to the machine.
        pause_s: before a broken connection is tried again for the first time.
        pause_factor: how much longer the pause is each further time.
        clock: for pauses and for telling how far behind it is.
        fs: where the directory is; the operating system's file system by default.

    Attributes:
        writer: the server that it follows.

    Raises:
        InvalidArgumentError: the directory is no replica, or the URL none.
        LockedError: another process has the directory.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        url: str,
        *,
        token: str | None = None,
        ca: str | None = None,
        pause_s: float = 10.0,
        pause_factor: float = 2.0,
        clock: Clock | None = None,
        fs: FileSystem | None = None,
    ) -> None:
        self._server = _Server(url, token, ca)
        self.writer = self._server.url
        self._mirror = Mirror(fs or OsFileSystem(path), self.writer)
        self._clock = clock or SystemClock()
        self._pause_s = pause_s
        self._pause_factor = pause_factor
        self._shipment: Shipment | None = None
        self._in_step_at = self._clock.monotonic()
        self._status: dict[str, Any] = {"state": "connecting", "writer": self.writer}

    def begin(self, stop: threading.Event) -> bool:
        """Copy until the directory is whole, which it may be already; False if it was stopped.

        Raises:
            InvalidArgumentError: the directory and the server do not belong together.
        """
        if self._mirror.is_whole:
            return not stop.is_set()
        self._become("copying")
        return self._persist(stop, lambda: self._update(lambda: None)) and not stop.is_set()

    def follow(self, store: Store, stop: threading.Event) -> None:
        """Keep up until stopped.

        Args:
            store: the directory, opened read-only; it is told what to read anew.
            stop: when to return.

        Raises:
            InvalidArgumentError: the directory and the server no longer belong together.
        """
        engine = store.engine
        assert isinstance(engine, Follower)  # noqa: S101  (it was opened read-only)

        def seen() -> None:
            if self._mirror.has_replaced_log:
                engine.reload()
                self._mirror.has_replaced_log = False
            engine.current()

        def once() -> None:
            self._update(seen)
            self._become("following")
            self._wait()

        try:
            while not stop.is_set():
                self._persist(stop, once)
        except BaseException as error:
            self._become("failed", str(error))
            raise

    def abort(self) -> None:
        """Have a call that is under way end at once; for who has set `stop`."""
        self._server.abort()

    def close(self) -> None:
        """Let go of the directory and the connections."""
        self._server.close()
        self._mirror.close()

    def _persist(self, stop: threading.Event, once: Callable[[], None]) -> bool:
        """Do something until it works; False if it was stopped before."""
        self._server.stop = stop
        for tries in count():
            if stop.is_set():
                return False
            try:
                once()
                return True
            except (InvalidArgumentError, LockedError):
                raise  # which no further try changes
            except NotFoundError as error:
                # A file was replaced meanwhile: the next shipment names another one.
                if tries:
                    self._pause(stop, error, _PAUSE_REPLACED_S * 2.0 ** min(tries, 10))
            except TsStoreError as error:
                self._pause(stop, error, self._pause_s * self._pause_factor ** min(tries, 50))
        raise AssertionError("unreachable")

    def _pause(self, stop: threading.Event, error: TsStoreError, pause_s: float) -> None:
        if stop.is_set():
            return
        self._become("waiting", str(error))
        logger.warning("%s; trying again", error)
        # Jitter shares out the return of many; nothing secret depends on it.
        jitter = random.uniform(0.75, 1.25)  # noqa: S311
        self._clock.wait(stop, min(pause_s, _PAUSE_LAST_S) * jitter)

    def _update(self, seen: Callable[[], None]) -> None:
        shipment = self._server.shipment(self._mirror.manifest_number)
        self._mirror.update(shipment, self._server, seen)
        self._shipment = shipment
        self._compare(shipment.newest)

    def _wait(self) -> None:
        if self._shipment is not None:
            self._compare(self._server.wait(self._shipment.mark, _WAIT_S))

    def _compare(self, newest: int) -> None:
        """Note how far behind the writer's newest commit the directory is."""
        behind = max(0, newest - self._shipment.sequence) if self._shipment else newest
        self._status["behind_commits"] = behind
        if not behind:
            self._in_step_at = self._clock.monotonic()

    def _become(self, state: str, error: str | None = None) -> None:
        self._status |= {"state": state, "error": error}

    def status(self) -> dict[str, Any]:
        """How it fares, for /heartbeat and /metrics.

        `state` is connecting, copying, following, waiting (for another try) or failed;
        `behind_commits` of the writer when it last answered; `behind_s` since the directory was
        known to be what the writer's is.
        """
        behind_s = self._clock.monotonic() - self._in_step_at
        return {**self._status, "behind_s": round(behind_s, 3)}


class ReplicaStore(Store):
    """The directory of a replica, opened for reading.

    Args:
        path: the directory.
        writer: where to write instead, for messages.
        settings: memory.
    """

    def __init__(
        self, path: str | os.PathLike[str], writer: str, settings: Settings | None = None
    ) -> None:
        super().__init__(path, read_only=True, settings=settings)
        self._writer_url = writer

    def _writable(self) -> NoReturn:
        raise ReadOnlyError(f"write is not allowed on replica; write to {self._writer_url}")

    def _no_feed(self) -> ReadOnlyError:
        return ReadOnlyError(
            "subscribe and follow are not served by a replica; connect to its writer, which it "
            f"copies from {self._writer_url}, or take the stream of this one's /ws"
        )


class _Server:
    """The writer, behind a server.

    Attributes:
        stop: ends a copy that would take long.
    """

    def __init__(self, url: str, token: str | None, ca: str | None) -> None:
        self.stop = threading.Event()
        self._transport = Transport(parse_address(url, token, ca), _TIMEOUT_S)
        self._rpc = Rpc(self._transport)
        self.url = self._rpc.url

    def shipment(self, manifest_number: int) -> Shipment:
        params = wire.ShipmentParams(manifest_number)
        kind = wire.ShipmentResult
        found = self._rpc.call("TsStore.Shipment", params, kind, repeatable=True)
        return Shipment(*msgspec.structs.astuple(found))

    def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Source`."""
        if self.stop.is_set():
            raise ConnectionFailedError(f"the copy of {self.url} was stopped; the next goes on")
        params = wire.PieceParams(name, offset, length)
        kind = wire.PieceResult
        return self._rpc.call("TsStore.Piece", params, kind, repeatable=True).data

    def digest(self, name: str, length: int) -> int:
        """See `Source`."""
        params = wire.DigestParams(name, length)
        kind = wire.DigestResult
        return self._rpc.call("TsStore.Digest", params, kind, repeatable=True).digest

    def wait(self, mark: tuple[int, int, int], timeout_s: float) -> int:
        params = wire.AwaitParams(mark, timeout_s)
        kind = wire.AwaitResult
        return self._rpc.call("TsStore.Await", params, kind, repeatable=True).sequence

    def abort(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        self._rpc.close()
