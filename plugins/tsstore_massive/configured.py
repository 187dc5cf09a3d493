"""The symbols that a command is for: those that it is given, else those of the worker's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import ConfigError, InvalidArgumentError
from tsstore_massive.commandline import split_list
from tsstore_massive.config import symbol_of
from tsstore_massive.universes import UniverseBook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore_massive.config import Config
    from tsstore_massive.symbols import Market

#: The pattern of every symbol of a market, of those that are listed.
_EVERY: Mapping[Market, str] = {
    "stocks": "*",
    "options": "O:*",
    "indices": "I:*",
    "forex": "C:*",
    "crypto": "X:*",
}


def wanted_symbols(given: str | None, config: Config) -> list[str]:
    """Symbols and patterns of `--symbols`, each once; without it those of the worker's options.

    Raises:
        InvalidArgumentError: it is given and empty, such as a variable of a shell that is not set.
        ConfigError: see `configured_symbols`.
    """
    if given is None:
        return configured_symbols(config)
    symbols = split_list(given)
    if not symbols:
        raise InvalidArgumentError("--symbols names none; name some, or give '*' for all")
    return symbols


def configured_symbols(config: Config) -> list[str]:
    """Symbols of all enabled connections and their universes; a pattern for a whole market.

    Raises:
        ConfigError: a universe is not there, or nobody can list the symbols of a market.
    """
    if not config.connections:
        return list(_symbols(config))
    enabled = [name for name, options in config.connections.items() if options.enabled]
    found = (symbol for name in enabled for symbol in _symbols(config.of_connection(name)))
    return list(dict.fromkeys(found))


def _symbols(config: Config) -> tuple[str, ...]:
    market = config.market
    if config.all_symbols:
        if market not in _EVERY:
            raise ConfigError(f"nobody lists all {market}; name symbols")
        return (_EVERY[market],)
    names = config.universe_names
    book = UniverseBook(config.universes, config.universe_file, names)
    listed = (symbol_of(market, text) for text in book.symbols(names))
    return tuple(dict.fromkeys((*config.bucket_symbols, *listed)))
