"""Lists of rows that can be filtered, sorted and paged, as all reference endpoints offer them."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsstore_massive_simulator.question import BadRequestError, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tsstore_massive_simulator.question import Question

Row = dict[str, Any]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "": operator.eq,
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
}


@dataclass(frozen=True)
class Listed:
    """How a list endpoint behaves.

    Attributes:
        fields: what can be filtered by and sorted by, and what turns a parameter into a value.
        sort: the field it is sorted by when nothing is asked for, `-` before it for descending.
        limit: rows of a page when nothing is asked for.
        limit_max: rows of a page at most.
        sorts_by_suffix: whether `sort=field.desc` decides on the order, and `order` nothing.
        counts: whether the answer tells how many rows the page has.
    """

    fields: Mapping[str, Callable[[str], Any]]
    sort: str
    limit: int
    limit_max: int
    sorts_by_suffix: bool = False
    counts: bool = False

    def page(self, question: Question, rows: Sequence[Row]) -> Page:
        """The page that is asked for.

        Raises:
            BadRequestError: a parameter makes no sense.
        """
        limit = question.limit(self.limit, self.limit_max)
        found = self._sorted(question, [row for row in rows if self._is_wanted(question, row)])
        first = int(question.params.get("ap", "0"))
        page = found[first : first + limit]
        body: Row = {"results": page}
        if self.counts:
            body["count"] = len(page)
        if first + limit >= len(found):
            return Page(body)
        return Page(body, question.path, {**question.params, "ap": str(first + limit)})

    def _is_wanted(self, question: Question, row: Row) -> bool:
        for name, text in question.params.items():
            field, _, comparison = name.partition(".")
            if field not in self.fields or not text:
                continue
            value = row.get(field)
            if comparison == "any_of":
                if value not in [self._value(field, each) for each in text.split(",")]:
                    return False
            elif comparison in _COMPARISONS and (
                value is None or not _COMPARISONS[comparison](value, self._value(field, text))
            ):
                return False
        return True

    def _value(self, field: str, text: str) -> Any:
        try:
            return self.fields[field](text)
        except ValueError:
            raise BadRequestError(f"could not parse the parameter {field}: {text!r}") from None

    def _sorted(self, question: Question, rows: list[Row]) -> list[Row]:
        default, default_down = self.sort.lstrip("-"), self.sort.startswith("-")
        field, _, suffix = question.params.get("sort", default).partition(".")
        if field not in self.fields:
            raise BadRequestError(f"cannot sort by {field!r}")
        if self.sorts_by_suffix:
            down = suffix == "desc" or ("sort" not in question.params and default_down)
        else:
            asked = "desc" if default_down and field == default else "asc"
            down = question.params.get("order", asked) == "desc"
        # Rows that lack the field come last; those with the same value stay as they stand.
        have = [row for row in rows if row.get(field) is not None]
        lack = [row for row in rows if row.get(field) is None]
        return sorted(have, key=operator.itemgetter(field), reverse=down) + lack
