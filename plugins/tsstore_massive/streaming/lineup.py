"""Which connections a worker makes: one of its own options, or those of `connections`.

Either way each is described by the options of a worker with a single connection, so that nothing
behind this module knows that there may be several.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsstore.errors import ConfigError
from tsstore_massive.connections import check_quotas, quota_place

if TYPE_CHECKING:
    from tsstore_massive.config import Config
    from tsstore_massive.connections import Connection

#: The name of the connection of a worker that has only one.
SOLE = ""


@dataclass(frozen=True)
class Planned:
    """A connection that is to be made.

    Attributes:
        name: in `connections`; empty for the only one.
        config: the options of a worker that makes this connection and no other.
        key: the API key.
        is_moved: whether others may carry its symbols while it is down.
    """

    name: str
    config: Config
    key: str = field(repr=False)
    is_moved: bool = False

    @property
    def place(self) -> str:
        """Where the vendor counts connections of its key."""
        return quota_place(self.config.stream_url)


def lineup(config: Config) -> tuple[Planned, ...]:
    """The connections that are to be made, in the order of the options.

    Raises:
        ConfigError: there is no key, none is enabled, or some would fight over one quota.
    """
    if not config.connections:
        return (Planned(SOLE, config, config.resolve_key()),)
    planned = tuple(
        _planned(name, options, config)
        for name, options in config.connections.items()
        if options.enabled
    )
    if not planned:
        raise ConfigError("connections: none is enabled; enable one, or take out the worker")
    check_quotas(((p.name, p.key, p.place) for p in planned), config.connections_allowed)
    return planned


def _planned(name: str, options: Connection, config: Config) -> Planned:
    own = config.of_connection(name)
    try:
        key = own.resolve_key()
    except ConfigError as error:
        raise ConfigError(f"connections: {name}: {error}") from None
    return Planned(name, own, key, options.failover)
