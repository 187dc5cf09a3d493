"""Reference data kept up to date by the worker, once a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore.errors import TsStoreError
from tsstore.times import format_ns
from tsstore.zones import NS_PER_SECOND
from tsstore_massive.errors import StoppedError
from tsstore_massive.reference.sync import Report, is_due, sync_reference

if TYPE_CHECKING:
    import logging
    import threading
    from collections.abc import Callable, Sequence

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.rest import RestClient
    from tsstore_massive.schemas import ReferenceKind

#: How often it looks whether a day is over.
_LOOK_S = 600.0


class ReferenceKeeper:
    """Refreshes reference data when a day has passed since the last time, restarts included.

    Args:
        store: where they go.
        rest: the vendor.
        kinds: which of them.
        symbols: those of the worker; None for every stock.
        clock: the source of time.
        logger: for the operator.
        stop: ends it.
        retry_s: pause before a refresh that failed is tried again.
    """

    def __init__(
        self,
        store: StoreApi,
        rest: RestClient,
        kinds: Sequence[ReferenceKind],
        *,
        symbols: Callable[[], Sequence[str] | None],
        clock: Clock,
        logger: logging.Logger,
        stop: threading.Event,
        retry_s: float,
    ) -> None:
        self._store = store
        self._rest = rest
        self._kinds = kinds
        self._symbols = symbols
        self._clock = clock
        self._logger = logger
        self._stop = stop
        self._retry_s = retry_s
        self._refreshed_ns: int | None = None
        self._report = Report()
        self._error = ""

    def run(self) -> None:
        """Refresh whenever it is due, until stopped."""
        pause_s = 0.0
        while not self._clock.wait(self._stop, pause_s):
            pause_s = _LOOK_S if self.refresh() else self._retry_s

    def refresh(self) -> bool:
        """Refresh what is due now; False when that failed."""
        try:
            symbols = self._symbols()
            due = [
                kind
                for kind in self._kinds
                if is_due(self._store, kind, symbols, self._clock.now_ns())
            ]
            for kind in due:
                self._report = sync_reference(
                    self._store, self._rest, symbols, clock=self._clock, kinds=[kind]
                )
                self._refreshed_ns = self._clock.now_ns()
        except StoppedError:
            return True
        except TsStoreError as error:
            self._error = str(error)
            self._logger.warning(
                "reference data are not up to date, next try in %g s: %s", self._retry_s, error
            )
            return False
        self._error = ""
        return True

    def describe(self) -> dict[str, Any]:
        """When it was refreshed, and what could not be used, for the status."""
        at = self._refreshed_ns
        seconds = None if at is None else at - at % NS_PER_SECOND
        return {
            "refreshed": "" if seconds is None else format_ns(seconds),
            "unusable": dict(self._report.unusable),
            "error": self._error,
        }
