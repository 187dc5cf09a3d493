"""The symbols that options and their universes name for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import ConfigError
from tsstore_massive.config import symbol_of
from tsstore_massive.streaming.lineup import SOLE, Planned, lineup
from tsstore_massive.universes import UniverseBook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore_massive.config import Config

#: Contracts whose quotes may be subscribed to on one connection.
OPTION_QUOTES_MAX = 1000


def check_named(config: Config) -> None:
    """Look at all that the options name besides themselves: keys, quotas, universes and their file.

    Raises:
        ConfigError: some of it is not there, or cannot be streamed.
    """
    needs_key = config.data_source == "massive"
    planned = lineup(config) if needs_key else (Planned(SOLE, config, key=""),)
    book = book_of(config, planned)
    for one in planned:
        named_symbols(one, book)


def book_of(config: Config, planned: Sequence[Planned]) -> UniverseBook:
    """The universes that the connections may name. Raises ConfigError, as `UniverseBook`."""
    used = dict.fromkeys(name for one in planned for name in one.config.universe_names)
    return UniverseBook(config.universes, config.universe_file, used)


def named_symbols(planned: Planned, book: UniverseBook) -> tuple[str, ...] | None:
    """What a connection is to stream, as buckets spell it; None for all of its market.

    Raises:
        ConfigError: a universe is not there, or holds what the market does not; or the contracts
            are more than the vendor allows.
    """
    config = planned.config
    if config.all_symbols:
        return None
    listed = book.symbols(config.universe_names)
    symbols = (*config.bucket_symbols, *(symbol_of(config.market, text) for text in listed))
    unique = tuple(dict.fromkeys(symbols))
    if has_contract_quotes(config) and len(unique) > OPTION_QUOTES_MAX:
        raise ConfigError(
            f"{planned.name or 'symbols'}: {len(unique)} contracts with quotes on one connection, "
            f"and Massive allows {OPTION_QUOTES_MAX}; leave some out, or leave quotes out of "
            "data_types"
        )
    return unique


def has_contract_quotes(config: Config) -> bool:
    """Whether quotes of options are streamed, of which a connection takes only so many."""
    return config.market == "options" and "quotes" in config.data_types
