"""Which rows of which tables a statement needs, told from DuckDB's plan of it.

DuckDB hands comparisons of most types to the scan of an Arrow dataset, but none of nanosecond times
(as of 2.0), and none with LIKE or a function. All of them stand in its plan, as filters of the scan
or right above it, where its optimiser has put what WHERE, joins, subqueries and views ask of a
table. They are read from there: what is not understood leaves rows in, never out.

Columns have names of their own in the plan (`t0c1`: table 0, column 1), so that a filter is of one
table for certain, whatever the statement calls its columns.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tsstore.errors import InvalidArgumentError
from tsstore.sql.statement import expression_text, parse_expression, walk
from tsstore.times import MAX_NS, MIN_NS, to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tsstore.sql.statement import Node

_FLIPPED = {
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_EQUAL": "COMPARE_EQUAL",
}


class Span(NamedTuple):
    """Instants from `start_ns` to `end_ns`, both included; none when they are the wrong way."""

    start_ns: int
    end_ns: int

    def __and__(self, other: Span) -> Span:
        return Span(max(self.start_ns, other.start_ns), min(self.end_ns, other.end_ns))

    def __or__(self, other: Span) -> Span:
        """The shortest span that holds both."""
        if self.start_ns > self.end_ns:
            return other
        if other.start_ns > other.end_ns:
            return self
        return Span(min(self.start_ns, other.start_ns), max(self.end_ns, other.end_ns))


ALWAYS: Final = Span(MIN_NS, MAX_NS)
NEVER: Final = Span(MAX_NS, MIN_NS)


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The names of one table's columns in the plan.

    Attributes:
        table: what all of them begin with.
        labels: of the key columns.
        epoch: of the time.
        data: of the data columns.
    """

    table: str
    labels: tuple[str, ...]
    epoch: str
    data: tuple[str, ...]

    @classmethod
    def of(cls, table: str, labels: int, data: int) -> ColumnNames:
        """Names for so many columns."""
        names = [f"{table}c{index}" for index in range(labels + 1 + data)]
        return cls(table, tuple(names[:labels]), names[labels], tuple(names[labels + 1 :]))


@dataclass(slots=True)
class Needs:
    """What a statement needs of one table, or of one scan of it.

    Attributes:
        span: instants outside which no row counts.
        conditions: on the key columns, as SQL; one of them has to hold, each is a conjunction.
    """

    span: Span = NEVER
    conditions: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, span: Span, conditions: tuple[str, ...]) -> None:
        """Another scan of the table needs this as well."""
        self.span |= span
        self.conditions.append(conditions)

    @classmethod
    def everything(cls) -> Needs:
        """All rows."""
        return cls(ALWAYS, [()])


def read_plan(connection: Any, plan: str, tables: Sequence[ColumnNames]) -> list[Needs]:
    """What each table is needed for.

    Args:
        connection: a DuckDB connection, to parse with.
        plan: the answer of EXPLAIN (FORMAT JSON).
        tables: names of the columns of each table.
    """
    by_table = {names.table: (names, Needs()) for names in tables}
    pattern = re.compile(rf"\b({'|'.join(by_table)})c\d+\b")
    for scan, filters in _scans(json.loads(plan)):
        named = {match[1] for match in pattern.finditer(json.dumps(scan["extra_info"]))}
        if len(named) != 1:  # it could be of any table
            return [Needs.everything() for _ in tables]
        names, needs = by_table[named.pop()]
        needs.add(*_needs(connection, filters, names))
    # A table that no scan was found of may be read in a way that is not known here.
    return [needs if needs.conditions else Needs.everything() for _, needs in by_table.values()]


def _scans(roots: list[Node]) -> Iterator[tuple[Node, list[str]]]:
    """The scans of Arrow data in a plan, and the filters that their rows have to pass."""
    waiting = [(root, list[str]()) for root in roots]
    while waiting:
        node, above = waiting.pop()
        info = node["extra_info"]
        if "ARROW" in node["name"]:
            yield node, above + _texts(info.get("Filters"))
        # Only what stands right above a scan is about its rows as they are.
        filters = above + _texts(info.get("Expression")) if node["name"] == "FILTER" else []
        waiting.extend((child, filters) for child in node["children"])


def _texts(info: str | list[str] | None) -> list[str]:
    if info is None:
        return []
    return [info] if isinstance(info, str) else info


def _needs(connection: Any, filters: list[str], names: ColumnNames) -> tuple[Span, tuple[str, ...]]:
    span = ALWAYS
    conditions = []
    for text in filters:
        expression = parse_expression(connection, text)
        for part in _conjuncts(expression):
            columns = _columns(part)
            if columns == {names.epoch}:
                span &= _span(part)
            elif columns and columns <= set(names.labels):
                conditions.append(expression_text(connection, part))
    return span, tuple(conditions)


def _conjuncts(expression: Node | None) -> Iterator[Node]:
    """What all has to hold."""
    if expression is None:
        return
    if expression["type"] != "CONJUNCTION_AND":
        yield expression
        return
    for child in expression["children"]:
        yield from _conjuncts(child)


def _columns(expression: Node) -> set[str]:
    nodes = walk(expression)
    return {".".join(node["column_names"]) for node in nodes if node.get("type") == "COLUMN_REF"}


def _span(part: Node) -> Span:
    """Instants outside which a condition on the time alone does not hold."""
    kind = part["type"]
    if kind == "CONJUNCTION_AND":
        span = ALWAYS
        for child in part["children"]:
            span &= _span(child)
        return span
    if kind == "CONJUNCTION_OR":
        span = NEVER
        for child in part["children"]:
            span |= _span(child)
        return span
    if kind == "COMPARE_BETWEEN" and _is_column(part["input"]):
        low = _compared("COMPARE_GREATERTHANOREQUALTO", part["lower"])
        return low & _compared("COMPARE_LESSTHANOREQUALTO", part["upper"])
    if kind == "COMPARE_IN" and _is_column(part["children"][0]):
        span = NEVER
        for child in part["children"][1:]:
            span |= _compared("COMPARE_EQUAL", child)
        return span
    if kind in _FLIPPED:
        if _is_column(part["left"]):
            return _compared(kind, part["right"])
        if _is_column(part["right"]):
            return _compared(_FLIPPED[kind], part["left"])
    return ALWAYS


def _compared(kind: str, constant: Node) -> Span:
    """Instants that compare so with a constant."""
    when = _instant(constant)
    if when is None:
        return ALWAYS
    if kind == "COMPARE_EQUAL":
        return Span(when, when)
    if kind.startswith("COMPARE_GREATERTHAN"):
        return Span(when, MAX_NS)
    return Span(MIN_NS, when)  # that a bound itself may not hold is for DuckDB to see


def _is_column(node: Node) -> bool:
    return bool(node["type"] == "COLUMN_REF")


def _instant(node: Node) -> int | None:
    """Nanoseconds since 1970 of `'2013-10-08 13:30:00'::TIMESTAMP_NS`; None for anything else."""
    if node["type"] != "OPERATOR_CAST" or node["type_expr"].get("type_name") != "TIMESTAMP_NS":
        return None
    literal = node["child"].get("literal") or {}
    if literal.get("kind") != "STRING":
        return None
    try:
        return to_ns(literal["text"])
    except InvalidArgumentError:  # infinity, or a year before Christ
        return None
