"""What the Tab key offers: commands, bucket keys, words of SQL, and files for commands with one."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

from tsstore.cli.session.lines import COMMANDS
from tsstore.errors import TsStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Characters that end a word: those of readline without the ones in commands, keys and paths.
DELIMITERS = " \t\n\"'`(),;=<>"

_SQL_WORDS = (
    "ASOF JOIN", "AND", "AS", "AVG", "BETWEEN", "BY", "COUNT", "DESC", "DESCRIBE", "DISTINCT",
    "Epoch", "EXPLAIN", "FIRST", "FROM", "GROUP BY", "HAVING", "IN", "JOIN", "LAST", "LEFT JOIN",
    "LIKE", "LIMIT", "MAX", "MIN", "NOT", "OR", "ORDER BY", "SELECT", "SHOW TABLES", "SUM",
    "SUMMARIZE", "Symbol", "USING", "WHERE", "WITH",
)  # fmt: skip
_NAMES = tuple(name for command in COMMANDS for name in command.names)
_NO_KEY = frozenset("*?[]{},\\")


def candidates(before: str, word: str, keys: Callable[[str], list[str]]) -> list[str]:
    r"""What a word may become.

    Args:
        before: the line up to the word.
        word: what has been typed of it.
        keys: the bucket keys that match a pattern.

    A key is offered part by part: `A` becomes `AAPL/`, then `AAPL/1Min/`.
    """
    typed = before.split()
    if not typed:
        commands = [name for name in _NAMES if name.startswith(word)]
        return commands if word.startswith("\\") else commands + _sql_words(word)
    if not typed[0].startswith("\\"):
        is_name = before[-1] in '"`'
        return _parts(word, keys) if is_name else _sql_words(word)
    if typed[0] == "\\o" or (typed[0] == "\\load" and len(typed) > 1):
        return _files(word)
    return _parts(word, keys) if len(typed) == 1 else []


def _sql_words(word: str) -> list[str]:
    return [known for known in _SQL_WORDS if word and known.lower().startswith(word.lower())]


def _files(word: str) -> list[str]:
    return sorted(glob.glob(glob.escape(word) + "*"))  # noqa: PTH207  (as text it is spelled as typed)


def _parts(word: str, keys: Callable[[str], list[str]]) -> list[str]:
    done = word.count("/")
    if done > 2 or _NO_KEY & set(word):
        return []
    try:
        found = keys(word + "*" + "/*" * (2 - done))
    except TsStoreError:  # no store, no server: nothing to offer
        return []
    ends = (key.find("/", len(word)) for key in found)
    return sorted(
        {key if end < 0 else key[: end + 1] for key, end in zip(found, ends, strict=True)}
    )
