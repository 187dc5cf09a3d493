"""How fast requests may go out, shared by everyone who uses one API key.

Never more than the limits of the plan within any minute or day, wherever the vendor lets those
begin; and when the vendor says that it was too many, everyone waits, and what it allows is learnt.
A plan may allow less for one class of assets than for others: then only that class is slowed down.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tsstore.errors import InvalidArgumentError, LockedError, StorageError
from tsstore_massive.optionvalues import is_loopback, is_vendor
from tsstore_massive.rest.quota import FileQuota, MemoryQuota, quota_path
from tsstore_massive.rest.usage import Plan, Ticket

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from tsstore.clock import Clock
    from tsstore_massive.config import Config
    from tsstore_massive.rest.quota import Quota
    from tsstore_massive.symbols import AssetClass

MINUTE_S = 60.0
#: What the record of a key with the vendor is called after.
_VENDOR = "api.massive.com"
#: Longest uninterrupted wait: a limit that was learnt may have been forgotten meanwhile.
_STEP_S = MINUTE_S
#: Shortest wait: what is due sooner counts as due then.
_RESOLUTION_S = 1e-3
#: How long the first look at a record may take.
_TRIAL_S = 1.0

_logger = logging.getLogger(__name__)


class RateLimiter:
    """Gives leave to send requests. Thread-safe.

    Args:
        per_minute: requests in any minute, at least 1.
        minute_s: the length of the vendor's minute; another one only in tests.
        clock: the source of time.
        per_day: requests in any day, at least 1; None for any number.
        by_class: requests in any minute for some classes of assets, at least 1.
        quota: where it is kept what was used; in memory if left out.
    """

    def __init__(
        self,
        per_minute: int,
        minute_s: float,
        clock: Clock,
        *,
        per_day: int | None = None,
        by_class: Mapping[AssetClass, int] = MappingProxyType({}),
        quota: Quota | None = None,
    ) -> None:
        if min(per_minute, 1 if per_day is None else per_day, *by_class.values()) < 1:
            raise InvalidArgumentError(
                f"one of the limits of {per_minute} requests a minute, {per_day} a day and "
                f"{dict(by_class)} by class lets nothing through; give at least 1"
            )
        self._plan = Plan(per_minute, per_day, by_class)
        self._clock = clock
        self._quota = quota or MemoryQuota(clock, minute_s)
        self._shown: dict[str, Any] = {
            "minute": 0, "per_minute": per_minute, "day": 0, "per_day": per_day, "learnt": {},
        }  # fmt: skip

    def acquire(self, stop: threading.Event, asset_class: AssetClass = "stocks") -> Ticket | None:
        """Wait for leave to send one request; None when `stop` was set first.

        Raises:
            StorageError: the use of the quota cannot be kept.
        """
        while not stop.is_set():
            with self._quota.usage() as usage:
                taken = usage.take(asset_class, self._plan)
            if isinstance(taken, Ticket):
                return taken
            self._clock.wait(stop, min(max(taken, _RESOLUTION_S), _STEP_S))
        return None

    def answered(self, ticket: Ticket, *, granted: bool) -> None:
        """A request was answered, or failed: it counts from now on.

        Args:
            ticket: the leave it had.
            granted: whether the vendor let it through.
        """
        with self._quota.usage() as usage:
            usage.answered(ticket, granted=granted)

    def refused(self, ticket: Ticket, seconds: float, *, for_sure: bool) -> None:
        """Let no request of that class be sent for so long: the vendor said that it is too many.

        Args:
            ticket: the leave that the refused request had.
            seconds: how long.
            for_sure: whether the vendor said how long; if it did not, its limit may be learnt.
        """
        with self._quota.usage() as usage:
            learnt = usage.refused(ticket, seconds, for_sure=for_sure)
        if learnt is not None:
            _logger.warning(
                "the vendor allows %d requests a minute for %s, which is kept to for a while; if "
                "that is the limit of the plan, set requests_per_minute", learnt.limit, learnt.what,
            )  # fmt: skip

    def pause(self, seconds: float) -> None:
        """Let no request be sent for so long."""
        with self._quota.usage() as usage:
            usage.pause(seconds)

    def describe(self) -> dict[str, Any]:
        """The use of the quota, for a status: the last that is known, if it would have to wait.

        The same holds where the disk refuses, for what does not ask the vendor goes on.
        """
        with suppress(LockedError, StorageError), self._quota.usage(wait_s=0) as usage:
            self._shown = {
                "minute": usage.in_minute,
                "per_minute": self._plan.per_minute,
                "day": usage.in_day,
                "per_day": self._plan.per_day,
                "learnt": usage.limits(),
            }
        return self._shown


def quota_text(quota: Mapping[str, Any]) -> str:
    """What `RateLimiter.describe` tells, in words."""
    day = f" of {quota['per_day']:,}" if quota["per_day"] is not None else ""
    learnt = "".join(
        f"; the vendor allows {limit:,} a minute for {what}"
        for what, limit in quota["learnt"].items()
    )
    return (
        f"requests with this key: {quota['minute']:,} of {quota['per_minute']:,} in the last "
        f"minute, {quota['day']:,}{day} in 24 hours{learnt}"
    )


def limiter_for(config: Config, api_key: str, clock: Clock) -> RateLimiter:
    """The limiter of a key, with what other processes use and earlier ones have used.

    There is one record for each key and service; the vendor is one under all of its names, since
    the account is. Of servers on this machine nothing is kept beyond the process, unless
    `quota_directory` is given: a simulator has forgotten it as well when it starts again, and is
    another one at the same port next time. Who reaches the vendor through this machine names one.
    """
    return RateLimiter(
        config.requests_per_minute,
        MINUTE_S,
        clock,
        per_day=config.requests_per_day,
        by_class=config.requests_by_class,
        quota=_quota_for(config, api_key, clock),
    )


def _quota_for(config: Config, api_key: str, clock: Clock) -> Quota:
    if is_loopback(config.base_url) and not config.quota_directory:
        return MemoryQuota(clock)
    parts = urlsplit(config.base_url)
    server = _VENDOR if is_vendor(config.base_url) else parts.netloc.lower()
    path = quota_path(server, api_key, config.quota_directory)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        quota = FileQuota(path, clock)
    except (OSError, StorageError) as error:
        if config.quota_directory:
            raise StorageError(f"quota_directory {config.quota_directory!r}: {error}") from None
        return _memory_instead_of(path, error, clock)
    try:
        # A full disk takes the file and then not the record. It may have room again soon.
        with suppress(LockedError), quota.usage(_TRIAL_S):
            pass
    except StorageError as error:
        return _memory_instead_of(path, error, clock)
    return quota


def _memory_instead_of(path: Path, error: Exception, clock: Clock) -> MemoryQuota:
    _logger.warning(
        "%s cannot be used (%s): the quota is kept to by this process alone; name a folder in "
        "quota_directory", path, error,
    )  # fmt: skip
    return MemoryQuota(clock)
