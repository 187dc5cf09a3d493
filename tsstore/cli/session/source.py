"""Where the lines of a session come from: a terminal with history and completion, or a stream."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import click

from tsstore.cli.session.completion import DELIMITERS, candidates
from tsstore.errors import InvalidArgumentError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

#: The longest line of a stream, in bytes.
LINE_BYTES_MAX = 1 << 20

_PROMPT = "tsstore> "
_PROMPT_MORE = "      -> "
_HISTORY_LINES = 5_000


class Source(Protocol):
    """Lines, one after the other."""

    #: Whether somebody sits there, who can be asked.
    is_terminal: bool

    def read(self, *, more: bool) -> str | None:
        """The next line; None at the end.

        Args:
            more: whether it goes on with what the last one began.

        Raises:
            InvalidArgumentError: it is no text, or too long; the next line can be read.
        """
        ...

    def where(self) -> str:
        """Where the last line stands, for messages, or nothing."""
        ...


class Stream:
    """Lines of a file or pipe.

    Args:
        octets: its bytes.
    """

    is_terminal = False

    def __init__(self, octets: IO[bytes]) -> None:
        self._octets = octets
        self._number = 0

    def read(self, *, more: bool) -> str | None:
        """See Source."""
        del more
        octets = self._octets.readline(LINE_BYTES_MAX)
        if not octets:
            return None
        self._number += 1
        if len(octets) == LINE_BYTES_MAX and not octets.endswith(b"\n"):
            self._skip()
            raise LimitExceededError(f"the line has more than {LINE_BYTES_MAX} bytes; shorten it")
        try:
            return octets.decode("utf-8-sig" if self._number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise InvalidArgumentError("the line is not UTF-8; convert it") from None

    def where(self) -> str:
        """See Source."""
        return f"line {self._number}: "

    def _skip(self) -> None:
        while (rest := self._octets.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
            pass


class Terminal:
    """Lines that somebody types, with a history and the Tab key where Python has readline.

    Args:
        keys: the bucket keys that match a pattern.
        history: the file of what was typed in earlier sessions.
    """

    is_terminal = True

    def __init__(self, keys: Callable[[str], list[str]], history: Path) -> None:
        self._keys = keys
        self._history = history
        self._found: list[str] = []
        self._before = 0
        with suppress(ImportError):
            self._set_up()

    def read(self, *, more: bool) -> str | None:
        """See Source."""
        try:
            return input(_PROMPT_MORE if more else _PROMPT)
        except EOFError:
            click.echo()
            return None
        except UnicodeDecodeError:
            raise InvalidArgumentError("the line is not UTF-8; type it again") from None

    def where(self) -> str:
        """See Source."""
        return ""

    def close(self) -> None:
        """Keep what was typed; where that is not possible, it is forgotten."""
        with suppress(ImportError, OSError):
            import readline

            self._history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._history.touch(mode=0o600)
            readline.set_history_length(_HISTORY_LINES)
            new = readline.get_current_history_length() - self._before
            # Sessions side by side each add theirs.
            readline.append_history_file(max(0, new), self._history)

    def _set_up(self) -> None:
        import readline

        readline.set_completer(self._complete)
        readline.set_completer_delims(DELIMITERS)
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
        readline.set_auto_history(True)
        with suppress(OSError):
            readline.read_history_file(self._history)
        self._before = readline.get_current_history_length()

    def _complete(self, word: str, state: int) -> str | None:
        import readline

        if state == 0:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            self._found = candidates(before, word, self._keys)
        return self._found[state] if state < len(self._found) else None


def history_path() -> Path:
    """The file of what was typed, in the user's directory of state."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # An XDG path that is not absolute is to be ignored, says its specification.
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "tsstore" / "history"


def is_terminal() -> bool:
    """Whether somebody types and reads."""
    return sys.stdin.isatty() and sys.stdout.isatty()
