"""One statement: that it only reads, which tables it names, and what MarketStore's users write.

DuckDB parses it; here its tree is looked at. Two things about `Epoch` are MarketStore's dialect and
are put into DuckDB's words: times such as `'2013-10-08-09:30:00'`, and whole numbers, which are
seconds since 1970.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsstore.errors import InvalidArgumentError
from tsstore.times import MAX_NS
from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPLAIN = re.compile(r"\s*EXPLAIN(?:\s+ANALYZE)?(?:\s*\([^)]*\))?(?=\W)", re.IGNORECASE)
_SHOW_TABLES = re.compile(r"\s*SHOW\s+(?:ALL\s+)?TABLES\s*;?\s*", re.IGNORECASE)
_MARKETSTORE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)-(\d\d:\d\d(?::\d\d(?:\.\d+)?)?)")
_COMPARISONS = frozenset({"COMPARISON", "BETWEEN"})
_SECONDS_MAX = MAX_NS // NS_PER_SECOND

#: A part of DuckDB's tree of a statement.
Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was looked at.

    Attributes:
        text: in DuckDB's words.
        tables: names that it reads from and does not define itself, in order.
        is_explain: whether it asks for the plan and not for rows.
        lists_tables: whether it asks for the names of all tables, and nothing else.
    """

    text: str
    tables: tuple[str, ...]
    is_explain: bool = False
    lists_tables: bool = False


def read_statement(connection: Any, text: str) -> Statement:
    """The statement.

    Args:
        connection: a DuckDB connection, to parse with.
        text: as it was written, with or without a semicolon.

    Raises:
        InvalidArgumentError: a syntax error, several statements, or one that does not only read.
    """
    if _SHOW_TABLES.fullmatch(text):
        return Statement(text, (), lists_tables=True)
    kind, text = _only(connection, text)
    explain = ""
    if kind == "EXPLAIN":
        found = _EXPLAIN.match(text)
        explain = found[0] if found else ""
        kind, text = _only(connection, text[len(explain) :])
        explain += " "
    if kind != "SELECT":
        raise _refused(kind)
    tree = _tree(connection, text)
    names = dict.fromkeys(node["table_name"] for node in _base_tables(tree))
    defined = set(_defined(tree))
    tables = tuple(name for name in names if name not in defined)
    return Statement(explain + _translated(tree, text), tables, is_explain=bool(explain))


def _only(connection: Any, text: str) -> tuple[str, str]:
    """Kind and text of the one statement."""
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise InvalidArgumentError(
            f"{len(statements)} statements; run one at a time"
            if statements
            else 'the statement is empty; write SELECT ... FROM "AAPL/1Min/OHLCV"'
        )
    return statements[0].type.name, statements[0].query


def _refused(kind: str) -> InvalidArgumentError:
    hint = {
        "INSERT": "; write rows with store.write(), or `tsstore load`",
        "MULTI": " (for PIVOT, name the values: ON column IN (...))",
    }.get(kind, "")
    return InvalidArgumentError(
        f"{kind} is not served: SQL only reads here; write SELECT, WITH, EXPLAIN, DESCRIBE or "
        f"SUMMARIZE{hint}"
    )


def _tree(connection: Any, text: str) -> Node:
    # With the text as a parameter, so that nothing in it is part of this statement.
    tree = _parsed(connection, text)
    if tree["error"]:  # it was parsed before, so this is a kind of statement
        raise InvalidArgumentError(f"the statement is not served: {tree['error_message']}")
    return tree


def _parsed(connection: Any, text: str) -> Node:
    ((found,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()
    try:
        tree: Node = json.loads(found)
    except RecursionError:
        raise InvalidArgumentError(
            "the statement is nested too deeply; take it apart with WITH"
        ) from None
    return tree


def parse_expression(connection: Any, text: str) -> Node | None:
    """The tree of one expression; None when the text is none."""
    tree = _parsed(connection, f"SELECT {text}")
    if tree["error"] or len(tree["statements"]) != 1:
        return None
    node = tree["statements"][0]["node"]
    if node.get("from_table", {}).get("type") != "EMPTY" or len(node["select_list"]) != 1:
        return None
    expression: Node = node["select_list"][0]
    return expression


def expression_text(connection: Any, expression: Node) -> str:
    """The SQL of an expression's tree. Trees do not tell where all that they hold begins."""
    tree = _parsed(connection, "SELECT 1")
    tree["statements"][0]["node"]["select_list"] = [expression]
    ((found,),) = connection.execute(
        "SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]
    ).fetchall()
    return str(found).removeprefix("SELECT ")


def walk(node: Any) -> Iterator[Node]:
    """A node and all below it, from the left. Statements may be nested deeper than Python calls."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _base_tables(tree: Node) -> Iterator[Node]:
    return (node for node in walk(tree) if node.get("type") == "BASE_TABLE")


def _defined(tree: Node) -> Iterator[str]:
    """Names that the statement gives to subqueries of its own (WITH)."""
    for node in walk(tree):
        for entry in (node.get("cte_map") or {}).get("map", ()):
            yield entry["key"]


def _translated(tree: Node, text: str) -> str:
    """The text with MarketStore's literals for Epoch in DuckDB's words."""
    octets = text.encode()
    for literal in sorted(_epoch_literals(tree), key=lambda node: -node["query_location"]):
        start = literal["query_location"]
        stop = start + literal["query_location_length"]
        words = _in_duckdb(literal["literal"])
        if words is not None:
            octets = octets[:start] + words.encode() + octets[stop:]
    return octets.decode()


def _epoch_literals(tree: Node) -> list[Node]:
    """Literals that are compared with a column named Epoch."""
    found = {}
    for node in walk(tree):
        sides = _sides(node)
        if any(map(_is_epoch, sides)):
            for side in sides:
                if side.get("type") == "VALUE_CONSTANT":
                    found[side["query_location"]] = side
    return list(found.values())


def _sides(node: Node) -> list[Node]:
    """What a comparison compares; nothing of other nodes."""
    if node.get("class") in _COMPARISONS:
        sides = [node.get(name) for name in ("left", "right", "input", "lower", "upper")]
    elif node.get("type") in ("COMPARE_IN", "COMPARE_NOT_IN"):
        sides = node.get("children", [])
    else:
        return []
    return [side for side in sides if isinstance(side, dict)]


def _is_epoch(node: Node) -> bool:
    names = node.get("column_names") or [""]
    return bool(node.get("type") == "COLUMN_REF" and names[-1].lower() == "epoch")


def _in_duckdb(literal: Node) -> str | None:
    """A literal as DuckDB knows it; None when it does already."""
    if literal["kind"] == "INTEGER":
        seconds = int(literal["text"])
        if abs(seconds) > _SECONDS_MAX:
            raise InvalidArgumentError(
                f"Epoch is compared with {seconds}, which are no seconds since 1970; divide "
                "nanoseconds by 1000000000, or write a time such as '2013-10-08 09:30'"
            )
        return f"make_timestamp_ns({seconds * NS_PER_SECOND})"
    if literal["kind"] != "STRING":
        return None
    match = _MARKETSTORE_TIME.fullmatch(literal["text"])
    return None if match is None else f"'{match[1]} {match[2]}'"
