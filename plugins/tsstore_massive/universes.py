"""Universes: named lists of symbols, in mkts.yml or in a file that may change while it is used.

    universes:                        # in mkts.yml
      tech_leaders:
        top_3: [AAPL, MSFT, NVDA]
        others: [AMD, INTC]
      metals: [GLD, SLV]
    universe_file: symbols.yml        # the same mapping; or a text file, one symbol a line

`tech_leaders:top_3` and `metals` name a list, `tech_leaders` all lists below it. A text file is one
universe, named like the file without its ending. Symbols are spelled as the vendor spells them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tsstore.errors import ConfigError
from tsstore.yamlfile import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Name to symbols, or to named lists of symbols.
Lists: TypeAlias = dict[str, tuple[str, ...] | dict[str, tuple[str, ...]]]

_YAML_ENDINGS = frozenset({".yml", ".yaml"})
_COMMENT = "#"


def check_symbol(symbol: str) -> None:
    """Let nothing pass that is no exact symbol of any market. Raises ConfigError."""
    if "," in symbol or "*" in symbol or not symbol.isprintable() or " " in symbol:
        raise ConfigError(
            f"{symbol!r} is not a symbol; write exact names such as AAPL, one in each place"
        )


class UniverseBook:
    """All universes that there are, and what is asked of them.

    Args:
        inline: those of mkts.yml.
        path: a file of further ones; empty for none.
        used: the names that are asked for, so that a file without one of them is refused.

    Attributes:
        error: what is wrong with the file as it is now; the lists are then those of before.

    Raises:
        ConfigError: the file cannot be read, or a name that is used is not there.
    """

    def __init__(self, inline: Lists, path: str, used: Iterable[str]) -> None:
        self.error = ""
        self._inline = inline
        self._path = Path(path).expanduser() if path else None
        self._used = tuple(used)
        self._seen = self._read_stamp = self._stamp()
        self._lists = self._read()

    def symbols(self, names: Iterable[str]) -> tuple[str, ...]:
        """The symbols of universes, each once, in the order of the lists.

        Raises:
            ConfigError: there is no universe of a name.
        """
        found = (symbol for name in names for symbol in _select(self._lists, name))
        return tuple(dict.fromkeys(found))

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether the lists are others now.

        A file that is being written is left alone: it is read once it is the same at two looks.
        """
        if self._path is None:
            return False
        stamp = self._stamp()
        settled, self._seen = stamp == self._seen, stamp
        if not settled or stamp == self._read_stamp:
            return False
        self._read_stamp = stamp
        try:
            lists = self._read()
        except ConfigError as error:
            self.error = f"{error}; the symbols stay as they were"
            return False
        self.error = ""
        changed, self._lists = lists != self._lists, lists
        return changed

    def _stamp(self) -> tuple[int, ...]:
        if self._path is None:
            return ()
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Lists:
        lists = dict(self._inline)
        if self._path is not None:
            for name, listed in _read_file(self._path).items():
                if name in lists:
                    raise ConfigError(
                        f"{self._path}: universe {name!r} is in mkts.yml as well; rename one"
                    )
                lists[name] = listed
        for name in lists:
            for symbol in _select(lists, name):
                _check_in(symbol, name)
        for name in self._used:
            if not _select(lists, name):
                raise ConfigError(f"universe {name!r} holds no symbol; add some or leave it out")
        return lists


def _read_file(path: Path) -> Lists:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"universe_file {path}: {error.strerror or 'cannot be read'}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"universe_file {path} is not text") from None
    if path.suffix not in _YAML_ENDINGS:
        return {path.stem: _lines(text)}
    problems = list[str]()
    plain: Any = load_yaml(text, path.name).plain(problems, {})
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        return msgspec.convert(plain, Lists)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"universe_file {path} is not lists of symbols by name ({error}); write "
            "`name: [AAPL, MSFT]`"
        ) from None


def _lines(text: str) -> tuple[str, ...]:
    symbols = (line.partition(_COMMENT)[0].strip() for line in text.splitlines())
    return tuple(symbol for symbol in symbols if symbol)


def _select(lists: Mapping[str, Any], name: str) -> tuple[str, ...]:
    group, _, below = name.partition(":")
    found = lists.get(group)
    if isinstance(found, dict):
        if not below:
            return tuple(symbol for listed in found.values() for symbol in listed)
        found = found.get(below)
    elif below:
        found = None
    if found is None:
        raise ConfigError(
            f"there is no universe {name!r}; there are {', '.join(_names(lists)) or 'none'}"
        )
    return tuple(found)


def _names(lists: Mapping[str, Any]) -> list[str]:
    names = []
    for name, listed in lists.items():
        names += [f"{name}:{below}" for below in listed] if isinstance(listed, dict) else [name]
    return names


def _check_in(symbol: str, universe: str) -> None:
    try:
        check_symbol(symbol)
    except ConfigError as error:
        raise ConfigError(f"universe {universe!r}: {error}") from None
