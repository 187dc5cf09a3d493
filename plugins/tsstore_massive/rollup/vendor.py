"""The vendor as the roll-up asks it, connected to with the first question.

Whose minutes are all made up asks none, and so needs no key.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import limiter_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from types import TracebackType

    from tsstore.plugin import WorkerContext
    from tsstore_massive.config import Config

#: Who cannot connect to the vendor is told after some seconds; the next look tries anew.
_LIMITS = Limits(first_attempts=3)


class Vendor:
    """Who has the official bars; closed at the end of a `with`.

    Args:
        context: what the host gives.
        config: address, key and quota.
    """

    def __init__(self, context: WorkerContext, config: Config) -> None:
        self._context = context
        self._config = config
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def check_key(self) -> None:
        """Raise ConfigError if there is no API key."""
        self._config.resolve_key()

    def day_bars(self, day: date) -> Mapping[str, Any] | None:
        """The bars of all stocks of a day as columns with `Symbol`; None when there are none.

        Raises:
            ConfigError: there is no API key.
            FatalPluginError: the service refuses it.
            MassiveError: they cannot be had, or not now.
        """
        return self._rest.grouped_daily(day, adjusted=False, include_otc=True)

    @cached_property
    def _rest(self) -> RestClient:
        config, context = self._config, self._context
        key = config.resolve_key()
        rest = RestClient(
            config.base_url,
            key,
            clock=context.clock,
            limiter=limiter_for(config, key, context.clock),
            stop=context.stop,
            limits=_LIMITS,
        )
        return self._open.enter_context(rest)
