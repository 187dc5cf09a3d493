"""MarketStore's query functions, applied to the rows of one bucket.

A call is text such as `candlecandler('1H', Open, High, Low, Close, Sum::Volume)`: quoted words are
settings, bare words are input columns by position, `Name::Column` gives one by name. NaN is a value
that is not there. Unlike the reference, results keep the precision of their column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore import aggregate
from tsstore.adjust import Adjustment
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from tsstore.clock import Clock

_CALL = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*\((?P<arguments>.*)\)\s*")
_ARGUMENT = re.compile(
    r"""\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?:(?P<input>\w+)\s*::\s*)?(?P<column>[^\s,:'"()]+))\s*"""
)


@dataclass(frozen=True, slots=True)
class Call:
    """A function call as it was written.

    Attributes:
        text: all of it, for messages.
        name: the function, in lower case.
        settings: its quoted arguments.
        columns: its other arguments as (input name or None, column).
    """

    text: str
    name: str
    settings: tuple[str, ...]
    columns: tuple[tuple[str | None, str], ...]


def parse(text: object) -> Call:
    """Read `Name('setting', Column, Input::Column, ...)`.

    Raises:
        InvalidArgumentError: not such a call, or there is no such function.
    """
    match = _CALL.fullmatch(text) if isinstance(text, str) else None
    if match is None or not isinstance(text, str):
        raise _unparsable(text)
    settings: list[str] = []
    columns: list[tuple[str | None, str]] = []
    for argument in _split(text, match["arguments"]):
        literal = argument["single"] if argument["double"] is None else argument["double"]
        if literal is None:
            columns.append((argument["input"], argument["column"]))
        else:
            settings.append(literal)
    name = match["name"].lower()
    if name not in _FUNCTIONS:
        raise InvalidArgumentError(
            f'no function in the UDA Registry named "{match["name"]}"; '
            f"there are {', '.join(sorted(_FUNCTIONS))}"
        )
    return Call(text, name, tuple(settings), tuple(columns))


def _split(text: str, arguments: str) -> Iterable[re.Match[str]]:
    if not arguments.strip():
        return
    position = 0
    while True:
        match = _ARGUMENT.match(arguments, position)
        if match is None:
            raise _unparsable(text)
        yield match
        position = match.end()
        if position == len(arguments):
            return
        if arguments[position] != ",":
            raise _unparsable(text)
        position += 1


def _unparsable(text: object) -> InvalidArgumentError:
    shown = " ".join(str(text).split())[:100]
    return InvalidArgumentError(
        f"unable to parse function call {shown}; write name('setting', Column, Input::Column)"
    )


def adjustment(call: Call, tz: str, clock: Clock) -> Adjustment:
    """What `adjust('split', 'dividend', '2024-06-30')` asks for.

    Without a kind it is both; without a day, whatever is known by now.

    Args:
        call: what `parse` returned.
        tz: zone in which the day ends.
        clock: says when now is.

    Raises:
        InvalidArgumentError: a setting that is no kind and no day, or a column.
    """
    if call.columns:
        raise _extra(call, _FUNCTIONS[call.name])
    kinds = {text.lower() for text in call.settings if text.lower() in ("split", "dividend")}
    days = [text for text in call.settings if text.lower() not in ("split", "dividend")]
    try:
        ends = [to_ns(date.fromisoformat(day) + timedelta(days=1), tz) - 1 for day in days]
    except ValueError:
        raise InvalidArgumentError(
            f"{call.text.strip()}: write adjust('split'), adjust('dividend'), or a day as of which "
            "prices are wanted, such as adjust('2024-06-30')"
        ) from None
    return Adjustment(
        splits="dividend" not in kinds or "split" in kinds,
        dividends="split" not in kinds or "dividend" in kinds,
        as_of_ns=min(ends, default=clock.now_ns()),
    )


def apply(
    columns: Columns, calls: Iterable[Call], *, tz: str = "UTC", clock: Clock | None = None
) -> Columns:
    """The rows after each call in turn.

    Args:
        columns: rows of one bucket.
        calls: what `parse` returned.
        tz: zone whose midnights bound windows of days, weeks, months and years.
        clock: gives the time of results that stand for no instant of the data.

    Raises:
        InvalidArgumentError: arguments that the function or the columns do not have.
    """
    for call in calls:
        function = _FUNCTIONS[call.name]
        inputs = _bind(call, function)
        columns = function.run(_Arguments(call, inputs, columns, tz, clock or SystemClock()))
    return columns


@dataclass(frozen=True, slots=True)
class _Function:
    """What a function takes.

    Attributes:
        run: from bound arguments to rows.
        required: input names that need a column each, in positional order.
        optional: input names that may have columns.
        settings: how many quoted arguments it needs.
        repeats: whether the last required input takes all the further columns.
    """

    run: Callable[[_Arguments], Columns]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    settings: int = 0
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class _Arguments:
    """A call bound to rows: `inputs` has the columns of each input name."""

    call: Call
    inputs: dict[str, list[str]]
    rows: Columns
    tz: str
    clock: Clock

    def numbers(self, column: str) -> NDArray[Any]:
        array = self.values(column)
        if array.dtype.kind not in "iufb":
            raise InvalidArgumentError(
                f"{self.call.name} needs numbers and column {column!r} holds text"
            )
        return array.view(np.uint8) if array.dtype.kind == "b" else array

    def values(self, column: str) -> NDArray[Any]:
        try:
            return self.rows[column]
        except KeyError:
            raise InvalidArgumentError(
                f"unable to retrieve column named {column}; "
                f"there are Epoch, {', '.join(self.rows.names)}"
            ) from None

    def timeframe(self) -> Timeframe:
        text = self.call.settings[0]
        try:
            return Timeframe.parse(text)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"init aggfunc during query: no suitable timeframe provided: {error}"
            ) from None

    def one_row(self, name: str, value: NDArray[Any]) -> Columns:
        now = np.array([self.clock.now_ns()], np.int64)
        return Columns(now, {name: value.reshape(1)}, tz=self.rows.tz)


def _bind(call: Call, function: _Function) -> dict[str, list[str]]:
    """Columns by input name."""
    if len(call.settings) < function.settings:
        raise InvalidArgumentError(
            f"not enough init arguments for {call.name}, need {function.settings} have "
            f"{len(call.settings)}"
        )
    inputs: dict[str, list[str]] = {}
    positional = []
    for name, column in call.columns:
        if name is None:
            positional.append(column)
        elif name in function.required + function.optional:
            inputs.setdefault(name, []).append(column)
        else:
            raise _extra(call, function)
    for name in function.required:
        if name not in inputs and positional:
            inputs[name] = [positional.pop(0)]
    missing = [name for name in function.required if name not in inputs]
    if missing:
        raise InvalidArgumentError(
            f"Argument mapping error for {call.name}: have {_words(call)}, "
            f"need [{' '.join(function.required)}]"
        )
    if positional and function.repeats:
        inputs[function.required[-1]] += positional
    elif positional:
        # One column more could be any of the optional inputs: only all of them are clear.
        if len(positional) != len(function.optional) or len(inputs) > len(function.required):
            raise _extra(call, function)
        inputs |= {
            name: [column] for name, column in zip(function.optional, positional, strict=True)
        }
    return inputs


def _extra(call: Call, function: _Function) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"extra args used: have {_words(call)}, required [{' '.join(function.required)}], "
        f"optional [{' '.join(function.optional)}]"
    )


def _words(call: Call) -> str:
    return f"[{' '.join(f'{name}::{column}' if name else column for name, column in call.columns)}]"


def _count(arguments: _Arguments) -> Columns:
    for column in arguments.inputs["*"]:
        if column != "*":
            arguments.values(column)
    return arguments.one_row("Count", np.array(len(arguments.rows), np.int64))


def _end(name: str, function: Callable[..., NDArray[Any]]) -> Callable[[_Arguments], Columns]:
    """The first or last value that is there, at its own instant."""

    def run(arguments: _Arguments) -> Columns:
        values = arguments.values(arguments.inputs["*"][0])
        rows = arguments.rows
        is_there = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), bool)
        at = function(np.flatnonzero(is_there))
        return Columns(rows.ts[at], {name: values[at]}, variable=rows.variable, tz=rows.tz)

    return run


def _sum(arguments: _Arguments) -> Columns:
    values = arguments.numbers(arguments.inputs["*"][0])
    total = aggregate.sums(values, _ALL) if len(values) else np.array(0.0)
    return arguments.one_row("Sum", total)


def _vwap(arguments: _Arguments) -> Columns:
    prices = arguments.numbers(arguments.inputs["Price"][0])
    sizes = arguments.numbers(arguments.inputs["Volume"][0])
    if arguments.call.settings:
        rows = arguments.rows
        starts, first = aggregate.windows(rows.ts, arguments.timeframe(), arguments.tz)
        return Columns(starts, {"VWAP": aggregate.weighted_means(prices, sizes, first)}, tz=rows.tz)
    if not len(prices):
        return arguments.one_row("VWAP", np.array(np.nan))
    return arguments.one_row("VWAP", aggregate.weighted_means(prices, sizes, _ALL))


def _adjust(arguments: _Arguments) -> Columns:
    raise InvalidArgumentError(
        f"{arguments.call.text.strip()} changes stored rows; write it before all other functions"
    )


def _extreme(name: str, function: np.ufunc) -> Callable[[_Arguments], Columns]:
    def run(arguments: _Arguments) -> Columns:
        values = arguments.numbers(arguments.inputs["*"][0])
        if not len(values):
            return arguments.one_row(name, np.array(np.nan))
        return arguments.one_row(name, np.asarray(function.reduce(values)))

    return run


def _avg(arguments: _Arguments) -> Columns:
    values = arguments.numbers(arguments.inputs["*"][0])
    mean = _averages(values, _ALL) if len(values) else np.array(np.nan)
    return arguments.one_row("Avg", mean)


def _gap(arguments: _Arguments) -> Columns:
    ts = arguments.rows.ts
    wide = np.flatnonzero(np.diff(ts) > arguments.timeframe().duration_ns)
    start, end = ts[wide], ts[wide + 1]
    arrays = {"End": end // NS_PER_SECOND, "Length": (end - start) // NS_PER_SECOND}
    return Columns(start, arrays, variable=arguments.rows.variable, tz=arguments.rows.tz)


def _candlecandler(arguments: _Arguments) -> Columns:
    prices = [arguments.numbers(arguments.inputs[name][0]) for name in aggregate.PRICES]
    return _candles(arguments, *prices)


def _tickcandler(arguments: _Arguments) -> Columns:
    prices = [arguments.numbers(column) for column in arguments.inputs["CandlePrice"]]
    price = prices[0] if len(prices) == 1 else np.mean(prices, axis=0)
    return _candles(arguments, price, price, price, price)


def _candles(
    arguments: _Arguments,
    opens: NDArray[Any],
    highs: NDArray[Any],
    lows: NDArray[Any],
    closes: NDArray[Any],
) -> Columns:
    rows = arguments.rows
    starts, first = aggregate.windows(rows.ts, arguments.timeframe(), arguments.tz)
    arrays = {
        "Open": aggregate.firsts(opens, first),
        "High": aggregate.highs(highs, first),
        "Low": aggregate.lows(lows, first),
        "Close": aggregate.lasts(closes, first),
    }
    for column in arguments.inputs.get("Sum", []):
        sums = aggregate.sums(arguments.numbers(column), first)
        arrays[f"{column}_SUM"] = sums.astype(np.float64)
    for column in arguments.inputs.get("Avg", []):
        arrays[f"{column}_AVG"] = _averages(arguments.numbers(column), first)
    return Columns(starts, arrays, tz=rows.tz)


def _averages(values: NDArray[Any], first: NDArray[np.intp]) -> NDArray[np.float64]:
    wide = values.astype(np.float64)
    there = aggregate.sums(~np.isnan(wide), first)
    with np.errstate(invalid="ignore"):
        return np.asarray(aggregate.sums(wide, first) / there)


_ALL = np.zeros(1, np.intp)
_FUNCTIONS = {
    "adjust": _Function(_adjust),
    "count": _Function(_count, ("*",), repeats=True),
    "first": _Function(_end("First", lambda at: at[:1]), ("*",)),
    "last": _Function(_end("Last", lambda at: at[-1:]), ("*",)),
    "sum": _Function(_sum, ("*",)),
    "vwap": _Function(_vwap, ("Price", "Volume")),
    "min": _Function(_extreme("Min", np.fmin), ("*",)),
    "max": _Function(_extreme("Max", np.fmax), ("*",)),
    "avg": _Function(_avg, ("*",)),
    "gap": _Function(_gap, settings=1),
    "candlecandler": _Function(_candlecandler, aggregate.PRICES, ("Sum", "Avg"), settings=1),
    "tickcandler": _Function(_tickcandler, ("CandlePrice",), ("Sum", "Avg"), settings=1),
}
#: What can be called.
FUNCTION_NAMES = frozenset(_FUNCTIONS)
