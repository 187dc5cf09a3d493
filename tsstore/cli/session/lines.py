r"""What the lines of a session mean: text to actions, without carrying anything out.

A line is a command of the session, such as `\show AAPL/1Min/OHLCV 2024-01-02`, or SQL. Words are
split at blanks; one that holds blanks stands in quotes.
"""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tsstore.cli.spans import as_time
from tsstore.errors import InvalidArgumentError, LimitExceededError
from tsstore.key import BucketKey
from tsstore.schema import Schema, parse_shapes
from tsstore.times import to_ns

if TYPE_CHECKING:
    from collections.abc import Callable

#: The longest statement, in characters; nobody types more, and a wrong file may be piped in.
STATEMENT_MAX = 1 << 20

_BARE_WORDS = frozenset({"help", "exit", "quit"})
_FILLERS = frozenset({"between", "and"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Text and comments, in which a semicolon ends nothing: what opens one, and what closes it. A quote
# that is doubled closes one text and opens the next, which comes to the same.
_OPENS = re.compile(r"""['"`]|--|/\*""")
_CLOSES = {"'": "'", '"': '"', "`": "`", "/*": "*/"}


@dataclass(frozen=True)
class Show:
    """Print rows of a bucket, or write them to a CSV file; times are int64 nanoseconds, UTC."""

    key: str
    start_ns: int
    end_ns: int | None
    as_csv: bool


@dataclass(frozen=True)
class Gaps:
    """Print where rows of a bucket are further apart than its timeframe."""

    key: str
    start_ns: int | None
    end_ns: int | None


@dataclass(frozen=True)
class Load:
    """Write the rows of a CSV file to a bucket; `control` says how to read it, if it is named."""

    key: str
    path: str
    control: str | None


@dataclass(frozen=True)
class Create:
    """Make an empty bucket."""

    key: str
    schema: Schema


@dataclass(frozen=True)
class Destroy:
    """Remove a bucket."""

    key: str


@dataclass(frozen=True)
class Trim:
    """Delete the rows of a bucket from an instant on, nanoseconds since 1970 UTC."""

    key: str
    start_ns: int


@dataclass(frozen=True)
class GetInfo:
    """Print what is known of a bucket."""

    key: str


@dataclass(frozen=True)
class Output:
    """Write results to a file from now on; None: to standard output again."""

    path: str | None


@dataclass(frozen=True)
class Timing:
    """Switch whether the time of each command is told."""


@dataclass(frozen=True)
class Help:
    """Print the commands."""


@dataclass(frozen=True)
class Stop:
    """End the session."""


@dataclass(frozen=True)
class Sql:
    """Print the rows of a statement."""

    statement: str


Action = (
    Show | Gaps | Load | Create | Destroy | Trim | GetInfo | Output | Timing | Help | Stop | Sql
)


class Command(NamedTuple):
    """A command of the session.

    Attributes:
        names: how it may be typed, the usual one first.
        arguments: what follows, for people.
        text: what it does.
        words: least and greatest number of arguments.
        make: the action, from as many arguments.
    """

    names: tuple[str, ...]
    arguments: str
    text: str
    words: tuple[int, int]
    make: Callable[[list[str]], Action]

    @property
    def usage(self) -> str:
        """How it is typed."""
        return f"{self.names[0]} {self.arguments}".rstrip()


def parse_line(text: str) -> Action:
    """What a complete line, or a statement of several lines, asks for.

    Raises:
        InvalidArgumentError: a command that there is not, or arguments that cannot be right.
    """
    text = text.strip()
    word = _first_word(text)
    if not text.startswith("\\") and word not in _BARE_WORDS:
        return Sql(text)
    command = _BY_NAME.get(word)
    if command is None:
        raise InvalidArgumentError(f"there is no command {word[:40]}; {_suggestion(word)}")
    arguments = _split(text[len(word) :].lstrip(";"))
    least, most = command.words
    if command.make is _show:  # its words without a meaning do not count
        arguments = [word for word in arguments if word.lower() not in _FILLERS]
        most += any(word.lower() == "csv" for word in arguments)
    if not least <= len(arguments) <= most:
        raise InvalidArgumentError(f"write {command.usage}")
    return command.make(arguments)


class Statements:
    r"""Lines as they come, put together to what is carried out at once.

    A statement of SQL ends with a semicolon at the end of a line, and otherwise with an empty line,
    before the next command that begins with a backslash, and with the last line.
    """

    def __init__(self) -> None:
        self.drop()

    @property
    def is_open(self) -> bool:
        """Whether a statement has begun that goes on."""
        return bool(self._lines)

    def feed(self, line: str) -> list[str]:
        """One more line; returns what is complete now, in order.

        Raises:
            LimitExceededError: the statement is too long; it is dropped.
        """
        text = line.strip()
        if not text:
            return self.end()
        if text.startswith("\\") or (not self.is_open and _first_word(text) in _BARE_WORDS):
            return [*self.end(), text]
        self._lines.append(line)
        self._length += len(line) + 1
        if self._length > STATEMENT_MAX:
            self.drop()
            raise LimitExceededError(
                f"the statement has more than {STATEMENT_MAX} characters; end it with a semicolon"
            )
        self._look(line)
        return self.end() if self._has_ended and not self._inside else []

    def end(self) -> list[str]:
        """The statement that has begun, if any, as if it were complete."""
        text = "\n".join(self._lines).strip()
        self.drop()
        return [text] if text else []

    def drop(self) -> None:
        """Forget the statement that has begun."""
        self._lines: list[str] = []
        self._length = 0
        self._inside = ""  # what opened the text or comment in which the last line ended
        self._has_ended = False  # whether a semicolon was the last thing outside of comments

    def _look(self, line: str) -> None:
        at = 0
        while True:
            if self._inside:
                close = _CLOSES[self._inside]
                end = line.find(close, at)
                if end < 0:
                    return
                self._has_ended &= self._inside == "/*"
                self._inside, at = "", end + len(close)
            opening = _OPENS.search(line, at)
            code = line[at : opening.start() if opening else None].strip()
            if code:
                self._has_ended = code.endswith(";")
            if opening is None or opening[0] == "--":
                return
            self._inside, at = opening[0], opening.end()


def _first_word(text: str) -> str:
    word = text.split(maxsplit=1)[0] if text else ""
    return word.rstrip(";").lower()


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.7)
    return f"{f'did you mean {near[0]}? ' if near else ''}\\help lists those there are"


def _split(text: str) -> list[str]:
    found = _CONTROL.search(text)
    if found is not None:
        raise InvalidArgumentError(f"the line holds the control character {found[0]!r}; remove it")
    words = shlex.shlex(text, posix=True)
    words.whitespace_split = True
    words.commenters = words.escape = ""
    try:
        return list(words)
    except ValueError:
        raise InvalidArgumentError("a quotation mark is not closed; add the other one") from None


def _key(text: str) -> str:
    return str(BucketKey.parse(text))


def _instant(text: str) -> int:
    when = as_time(text)
    return to_ns(text if when is None else when)


def _span(words: list[str]) -> tuple[int, int | None]:
    start, *rest = map(_instant, words)
    end = rest[0] if rest else None
    if end is not None and end < start:
        raise InvalidArgumentError(f"{words[0]} is after {words[1]}; exchange them")
    return start, end


def _show(words: list[str]) -> Show:
    as_csv = any(word.lower() == "csv" for word in words)
    words = [word for word in words if word.lower() != "csv"]
    if len(words) < 2:
        raise InvalidArgumentError(f"name the bucket and the first instant: {_usage(_show)}")
    start, end = _span(words[1:])
    return Show(_key(words[0]), start, end, as_csv)


def _gaps(words: list[str]) -> Gaps:
    start, end = _span(words[1:]) if len(words) > 1 else (None, None)
    return Gaps(_key(words[0]), start, end)


def _load(words: list[str]) -> Load:
    return Load(_key(words[0]), words[1], words[2] if len(words) > 2 else None)


def _create(words: list[str]) -> Create:
    key, shapes, kind = words
    if kind.lower() not in ("fixed", "variable"):
        raise InvalidArgumentError(f"{kind!r} is neither fixed nor variable: {_usage(_create)}")
    variable = kind.lower() == "variable"
    # MarketStore's users name the time as well; every bucket has it.
    hidden = {"Epoch", "Nanoseconds"} if variable else {"Epoch"}
    pairs = [pair for pair in parse_shapes(shapes) if pair[0] not in hidden]
    return Create(_key(key), Schema.of(pairs, variable=variable))


def _usage(make: Callable[[list[str]], Action]) -> str:
    return next(command.usage for command in COMMANDS if command.make is make)


#: All commands, in the order of \help.
COMMANDS = (
    Command(
        ("\\show",),
        "KEY START [END] [csv]",
        "print rows from START to END; csv: to mstore-csv-output.csv",
        (2, 3),
        _show,
    ),
    Command(
        ("\\gaps",),
        "KEY [START] [END]",
        "print where rows are further apart than the timeframe",
        (1, 3),
        _gaps,
    ),
    Command(
        ("\\load",),
        "KEY FILE.csv [FILE.yaml]",
        "write the rows of a file to a bucket",
        (2, 3),
        _load,
    ),
    Command(
        ("\\create",),
        "KEY NAME,NAME/TYPE:NAME/TYPE fixed|variable",
        "make an empty bucket",
        (3, 3),
        _create,
    ),
    Command(
        ("\\trim",),
        "KEY DATE",
        "delete the rows of the bucket from DATE on",
        (2, 2),
        lambda words: Trim(_key(words[0]), _instant(words[1])),
    ),
    Command(
        ("\\destroy",),
        "KEY",
        "remove a bucket and its rows",
        (1, 1),
        lambda words: Destroy(_key(words[0])),
    ),
    Command(
        ("\\getinfo",),
        "KEY",
        "print what is known of a bucket",
        (1, 1),
        lambda words: GetInfo(_key(words[0])),
    ),
    Command(
        ("\\o",),
        "[FILE]",
        "write results to FILE (.csv, .json or a table); without FILE no longer",
        (0, 1),
        lambda words: Output(words[0] if words else None),
    ),
    Command(("\\timing",), "", "tell how long each command takes, or no longer", (0, 0),
            lambda _: Timing()),
    Command(("\\help", "help", "\\?"), "", "print this", (0, 9), lambda _: Help()),
    Command(("\\stop", "\\quit", "\\q", "exit", "quit"), "", "end the session", (0, 0),
            lambda _: Stop()),
)  # fmt: skip
_BY_NAME = {name: command for command in COMMANDS for name in command.names}


def help_text() -> str:
    """The commands and what else may be typed."""
    width = max(len(command.usage) for command in COMMANDS)
    lines = [f"{command.usage:<{width}}  {command.text}" for command in COMMANDS]
    sql = "SQL, up to a semicolon or an empty line; tables are buckets in double quotes"
    lines += [
        f"{'anything else':<{width}}  {sql}",
        "",
        "KEY is symbol/timeframe/attribute group. Times are 2024-01-02, 2024-01-02T09:30, in UTC;",
        "words with blanks stand in quotes.",
    ]
    return "\n".join(lines)
