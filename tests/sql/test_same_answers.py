"""Whatever is not read, the answer is that of a DuckDB which holds all rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsstore
from tsstore import Schema
from tsstore.sql import SqlDatabase

from .conftest import NS, T0, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = '"*/1Sec/T"'
#: Instants of the rows, in nanoseconds after T0: some twice, some a nanosecond apart.
INSTANTS = [0, 1, 1, 2, 1_000, 1_001, NS, NS + 1, 3 * NS, 86_400 * NS, 86_401 * NS]
SYMBOLS = ["A", "AB", "B", "a"]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[SqlDatabase, duckdb.DuckDBPyConnection, Recorder]]:
    """Our database over some ticks, and a plain DuckDB with the same."""
    schema = Schema.of({"V": "f8", "N": "i4"}, variable=True)
    frames = []
    with tsstore.open(tmp_path_factory.mktemp("ticks")) as store:
        for index, symbol in enumerate(SYMBOLS):
            times = (np.array(INSTANTS[index:]) + T0 * NS).astype("M8[ns]")
            values = np.arange(len(times)) * 1.0 + index
            values[::3] = np.nan
            rows = {"Epoch": times, "V": values, "N": np.arange(len(times), dtype=np.int32)}
            store.write(f"{symbol}/1Sec/T", rows, schema=schema)
            frames.append(pd.DataFrame({"Symbol": symbol, **rows}))
        recorder = Recorder(store.engine)
        database = SqlDatabase(recorder, "UTC")
        with duckdb.connect(":memory:") as plain:
            plain.register("everything", pd.concat(frames))
            plain.execute(
                f"CREATE TABLE {TABLE} AS SELECT Symbol, Epoch, "
                "CASE WHEN isnan(V) THEN NULL ELSE V END AS V, N FROM everything"
            ).fetchall()
            yield database, plain, recorder
        database.close()


def instant(ns: int) -> str:
    return str(np.datetime64(T0 * NS + ns, "ns"))


times = st.sampled_from([*INSTANTS, -1, 2 * NS, 90_000 * NS]).map(instant)
comparisons = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
on_time = st.one_of(
    st.builds("{{a}}Epoch {} '{}'".format, comparisons, times),
    st.builds("'{}' {} {{a}}Epoch".format, times, comparisons),
    st.builds("{{a}}Epoch BETWEEN '{}' AND '{}'".format, times, times),
    st.builds("{{a}}Epoch IN ('{}', '{}')".format, times, times),
    st.builds("{{a}}Epoch NOT IN ('{}', '{}', '{}')".format, times, times, times),
    st.builds("{{a}}Epoch {} '{}'::TIMESTAMP".format, comparisons, times),
    st.builds("{{a}}Epoch::DATE {} '2013-10-09'".format, comparisons),
    st.builds("{{a}}Epoch::TIMESTAMP {} '{}'".format, comparisons, times),
    st.builds("{{a}}Epoch - INTERVAL 1 DAY {} '{}'".format, comparisons, times),
    st.just("epoch_ns({a}Epoch) % 2 = 0"),
    st.just("{a}Epoch IS NOT NULL"),
)
names = st.sampled_from([*SYMBOLS, "C", "", "b"])
on_symbol = st.one_of(
    st.builds("{{a}}Symbol {} '{}'".format, comparisons, names),
    st.builds("{{a}}Symbol IN ('{}', '{}')".format, names, names),
    st.builds("{{a}}Symbol NOT IN ('{}', '{}')".format, names, names),
    st.builds("{{a}}Symbol {} '{}'".format, st.sampled_from(["LIKE", "ILIKE", "NOT LIKE"]),
              st.sampled_from(["A%", "%B", "_", "a", "%"])),
    st.just("upper({a}Symbol) = 'A'"),
    st.just("length({a}Symbol) = 1"),
    st.just("{a}Symbol IS NULL"),
    st.just("regexp_matches({a}Symbol, '^[aB]')"),
)  # fmt: skip
on_values = st.one_of(
    st.builds("{{a}}V {} {}".format, comparisons, st.integers(0, 8)),
    st.builds("{{a}}N {} {}".format, comparisons, st.integers(0, 8)),
    st.just("{a}V IS NULL"),
    st.just("coalesce({a}V, 1) = 1"),
    st.just("{a}V * 2 > {a}N"),
)
conditions = st.recursive(
    st.one_of(on_time, on_time, on_symbol, on_symbol, on_values),
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("NOT {}".format, inner),
    ),
    max_leaves=5,
)
# {0} is a condition on the table x, {1:y} one on the table y.
_SHAPES = """
SELECT * FROM "*/1Sec/T" x WHERE {0};
SELECT * FROM (SELECT * FROM "*/1Sec/T" x WHERE {0}) x WHERE {1};
SELECT count(*), sum(N) FROM "*/1Sec/T" x WHERE {0};
SELECT Symbol, max(Epoch), count(V) FROM "*/1Sec/T" x WHERE {0} GROUP BY Symbol;
SELECT x.*, y.V FROM "*/1Sec/T" x JOIN "*/1Sec/T" y USING (Epoch) WHERE {0} AND {1:y};
SELECT x.*, y.V FROM "*/1Sec/T" x LEFT JOIN "*/1Sec/T" y ON x.Epoch = y.Epoch AND {1:y} WHERE {0};
SELECT x.*, y.V FROM "*/1Sec/T" x FULL JOIN "*/1Sec/T" y ON x.N = y.N AND {1:y} WHERE {0};
SELECT * FROM "*/1Sec/T" x
    WHERE EXISTS (SELECT 1 FROM "*/1Sec/T" y WHERE y.Epoch = x.Epoch AND {1:y}) AND {0};
SELECT * FROM "*/1Sec/T" x WHERE N NOT IN (SELECT N FROM "*/1Sec/T" y WHERE {1:y}) AND {0};
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY Symbol ORDER BY Epoch, N) AS r FROM "*/1Sec/T"
) x WHERE {0};
SELECT * FROM (
    SELECT *, lag(Epoch) OVER (ORDER BY Epoch, Symbol, N) AS r FROM "*/1Sec/T"
) x WHERE {0};
WITH w AS MATERIALIZED (SELECT * FROM "*/1Sec/T" x WHERE {0})
    SELECT x.*, y.Epoch FROM w x, w y WHERE x.N = y.N AND {1:y};
SELECT * FROM (
    SELECT Symbol, Epoch, V, N FROM "*/1Sec/T" UNION ALL SELECT 'A', Epoch, N, V FROM "*/1Sec/T"
) x WHERE {0};
SELECT * FROM (
    SELECT Symbol || 'B' AS Symbol, Epoch + INTERVAL 1 DAY AS Epoch, N AS V, N FROM "*/1Sec/T"
) x WHERE {0};
SELECT * FROM (
    SELECT 'A' AS Symbol, max(Epoch) AS Epoch, V, N FROM "*/1Sec/T" GROUP BY V, N
) x WHERE {0};
SELECT x.*, y.N FROM "*/1Sec/T" x ASOF JOIN (
    SELECT DISTINCT ON (Epoch) * FROM "*/1Sec/T" y WHERE {1:y} ORDER BY Epoch, Symbol, N
) y ON x.Epoch >= y.Epoch WHERE {0}
"""


class Condition:
    """A condition on the columns of `x`, or of the table that its format names."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __format__(self, alias: str) -> str:
        return "(" + self._text.replace("{a}", f"{alias or 'x'}.") + ")"


def counted(rows: list[tuple[Any, ...]]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(map(str, row)) for row in rows)


@pytest.mark.parametrize("shape", _SHAPES.split(";"))
@settings(max_examples=10)
@given(first=conditions, second=conditions)
def test_answers_are_those_of_duckdb_alone(pair, shape, first, second) -> None:
    database, plain, _ = pair
    statement = shape.format(Condition(first), Condition(second))
    here = database.run(statement).to_arrow()
    there = plain.sql(statement).to_arrow_table()
    # Numbers of Arrow's own types may differ: what counts is the values.
    assert counted(as_rows(here)) == counted(as_rows(there)), statement


def as_rows(table: Any) -> list[tuple[Any, ...]]:
    columns = []
    for column in table.columns:
        kind = str(column.type)
        if kind.startswith("timestamp"):
            columns.append(column.cast("timestamp[ns]").cast("int64").to_pylist())
        elif kind.startswith(("decimal", "int", "double")):
            columns.append([None if v is None else float(v) for v in column.to_pylist()])
        else:
            columns.append(column.to_pylist())
    return list(zip(*columns, strict=True))


def test_that_not_all_is_read(pair) -> None:
    """What is compared above is worth comparing."""
    database, _, recorder = pair
    recorder.reads.clear()
    database.run(f"SELECT * FROM {TABLE} WHERE Symbol = 'AB' AND Epoch > '{instant(NS)}'")
    assert [read[:2] for read in recorder.reads] == [("AB/1Sec/T", T0 * NS + NS)]
