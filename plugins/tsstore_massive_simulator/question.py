"""A REST request once it is known who asks and what for, and the answer before it is JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from tsstore.times import MAX_NS
from tsstore_massive_simulator.voices import voice_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore_massive_simulator.market import Market
    from tsstore_massive_simulator.voices import Voice

#: Markets by the prefix of their tickers, and by what paths call them.
_PREFIXES = {"O:": "options", "I:": "indices", "C:": "forex", "X:": "crypto"}
_MARKETS = {"fx": "forex", "currencies": "forex"}

_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class BadRequestError(Exception):
    """A parameter makes no sense: HTTP 400."""


class NoSuchThingError(Exception):
    """There is no such ticker or day: HTTP 404."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        markets: what there is, by market.
        horizon_ns: nothing later than this has happened yet.
        now_ns: the instant in the market.
        path: the path that was asked for.
        parts: the named parts of the path.
        params: the query, with what the cursor stands for.
    """

    markets: Mapping[str, Market]
    horizon_ns: int
    now_ns: int
    path: str
    parts: dict[str, str]
    params: dict[str, str]

    @property
    def market(self) -> Market:
        """The market that is asked about; stocks when it is not played."""
        return self.markets.get(self._market_name, self.markets["stocks"])

    @property
    def _market_name(self) -> str:
        if "market" in self.parts:
            return _MARKETS.get(self.parts["market"], self.parts["market"])
        return _PREFIXES.get(self.parts.get("ticker", "")[:2], "stocks")

    @property
    def voice(self) -> Voice:
        """How that market speaks."""
        return voice_of(self.market.name)

    @property
    def ticker(self) -> str:
        """The ticker in the path, as the market spells it."""
        asked = self.parts["ticker"]
        name = self.voice.bar_name
        spelled = (each for each in self.market.tickers() if name(each) == asked)
        return asked if self.market.name == "stocks" else next(spelled, asked)

    @property
    def day(self) -> date:
        """The day in the path."""
        return parse_day(self.parts["day"])

    def with_params(self, params: dict[str, str]) -> Question:
        """The same question with other parameters."""
        return replace(self, params=params)

    def with_part(self, name: str, value: str) -> Question:
        """The same question with another part of the path."""
        return replace(self, parts={**self.parts, name: value})

    def start_ns(self, text: str, per_unit: int) -> int:
        """The first nanosecond of a day, or an instant that is written as a number of units."""
        if is_day(text):
            return self.market.schedule.midnight(parse_day(text))
        return _instant(text, per_unit)

    def end_ns(self, text: str, per_unit: int) -> int:
        """The last nanosecond of a day, or an instant that is written as a number of units."""
        if is_day(text):
            return self.market.schedule.midnight(parse_day(text) + timedelta(days=1)) - 1
        return _instant(text, per_unit)

    def limit(self, default: int, maximum: int) -> int:
        """How many rows are wanted."""
        text = self.params.get("limit", str(default))
        if not text.isdigit() or int(text) < 1:
            raise BadRequestError(f"limit must be a positive number, not {text!r}")
        return min(int(text), maximum)

    def choice(self, name: str, default: str, *others: str) -> str:
        """A parameter that must be one of some words."""
        value = self.params.get(name, default)
        if value not in (default, *others):
            raise BadRequestError(f"{name} must be {' or '.join((default, *others))}")
        return value


@dataclass(frozen=True)
class Page:
    """An answer.

    Attributes:
        body: JSON value; `results` that are empty are left out of it.
        next_path: path of the next page, when there is one.
        next_params: what the cursor of the next page stands for.
        is_standard: whether `status` and `request_id` belong into the body.
    """

    body: Any
    next_path: str | None = None
    next_params: dict[str, str] = field(default_factory=dict)
    is_standard: bool = True


def parse_day(text: str) -> date:
    """A day as `YYYY-MM-DD`.

    Raises:
        BadRequestError: it is none.
    """
    if _ISO_DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise BadRequestError(f"could not parse the time parameter {text!r}; use YYYY-MM-DD")


def _instant(text: str, per_unit: int) -> int:
    ns = int(text) * per_unit
    if not 0 <= ns <= MAX_NS:
        raise BadRequestError(f"could not parse the time parameter {text!r}")
    return ns


def is_day(text: str) -> bool:
    """Whether a time is written as a day, not as a number."""
    return not text.lstrip("-").isdigit()
