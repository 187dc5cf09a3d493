"""The client as its users see it."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Self

from tsstore.clock import SystemClock
from tsstore_massive.config import Config
from tsstore_massive.rest.limits import Limits
from tsstore_massive.rest.marketdata import MarketData
from tsstore_massive.rest.rate import limiter_for
from tsstore_massive.rest.referencedata import ReferenceData
from tsstore_massive.rest.transport import Transport

if TYPE_CHECKING:
    from tsstore.clock import Clock
    from tsstore_massive.rest.rate import RateLimiter
    from tsstore_massive.rest.traffic import Traffic


class RestClient(MarketData, ReferenceData):
    """Everything that can be asked for. Thread-safe.

    Each method says what it gives; all of them raise ApiKeyError, NotEntitledError,
    RequestRefusedError, UnavailableError, BadResponseError and StoppedError (see `errors.py`).

    Args:
        base_url: such as `https://api.massive.com`.
        api_key: sent as a bearer token; never shown.
        clock: the source of time.
        limiter: shared by everyone who uses the key.
        stop: set to make every call end soon, with StoppedError.
        limits: sizes, times and tries.

    Attributes:
        account: a digest of the key, for what is remembered of its plan.
        limits: sizes, times and tries.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        clock: Clock,
        limiter: RateLimiter,
        stop: threading.Event,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        transport = Transport(
            base_url, api_key, clock=clock, limiter=limiter, stop=stop, limits=limits
        )
        super().__init__(transport, limits)
        self._limiter = limiter
        self.account = account_of(api_key)

    def __repr__(self) -> str:
        return f"<RestClient {self._transport.host}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def traffic(self) -> Traffic:
        """What was asked and answered."""
        return self._transport.traffic

    @property
    def quota(self) -> dict[str, Any]:
        """The use of the key's quota by all processes, see `RateLimiter.describe`."""
        return self._limiter.describe()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def account_of(api_key: str) -> str:
    """The digest of a key by which the store remembers what its plan excludes."""
    return hashlib.blake2b(api_key.encode(), digest_size=8).hexdigest()


def open_rest(api_key: str = "", **options: Any) -> RestClient:
    """A client with the key of the environment, and the quota that all its users share.

    Args:
        api_key: the key; else it is read from $MASSIVE_API_KEY.
        options: of the worker's `Config`, such as `base_url` and `requests_per_minute`.

    Raises:
        ConfigError: there is no key, or an option cannot be right.
    """
    config = Config(api_key=api_key, **options)
    key, clock = config.resolve_key(), SystemClock()
    return RestClient(
        config.base_url,
        key,
        clock=clock,
        limiter=limiter_for(config, key, clock),
        stop=threading.Event(),
        limits=Limits(page_rows=config.backfill_batch_size),
    )
