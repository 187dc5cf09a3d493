"""P10: a whole process that opens a store of many symbols and prints the last price of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.data import BAR_COLUMNS, Rows, minute_boundaries, names
from benchmarks.goals import within
from benchmarks.harness import Case, Line, Scale, latencies, take_turns
from benchmarks.peers.arcticdb import ArcticDb
from benchmarks.peers.duckdb import DuckDb
from benchmarks.peers.tsstore import BARS, TsStore
from benchmarks.processes import run_python
from benchmarks.verify import expect

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers import Peer

MINUTES = 3
_NUMPY = "import numpy"
_TSSTORE = """
import tsstore
with tsstore.open({path!r}, read_only={read_only}) as store:
    print(store.read({key!r}, limit=1)["Open"][-1])
"""
_DUCKDB = """
import duckdb
with duckdb.connect({path!r}, read_only=True) as database:
    query = "SELECT Open FROM data WHERE symbol = ? ORDER BY ts DESC LIMIT 1"
    print(database.execute(query, [{symbol!r}]).fetchone()[0])
"""
_ARCTICDB = """
import arcticdb
print(arcticdb.Arctic({url!r}).get_library("data").tail({symbol!r}, 1).data["Open"].iloc[-1])
"""


def run(scale: Scale) -> list[Line]:
    """Measure it."""
    symbols = names(scale.pick(1_000, 10_000))
    fewer = scale.pick(20, 500)  # for ArcticDB, which takes 10 ms to append to one of them
    folder, symbol = scale.folder, symbols[fewer - 1]
    rows = minute_boundaries(symbols, MINUTES)
    _fill(TsStore(folder / "tsstore"), rows)
    _fill(DuckDb(folder / "duckdb", BAR_COLUMNS), rows)
    _fill(ArcticDb(folder / "arcticdb"), [_first(each, fewer) for each in rows])
    programs = _programs(folder, symbol)
    price = float(rows[-1].columns["Open"][fewer - 1])
    for name, program in programs.items():
        expect(name, (1, float(_run(program, folder))), (1, price))
    programs[_NUMPY] = _NUMPY
    cases = {name: Case(partial(_run, program, folder)) for name, program in programs.items()}
    count = scale.pick(2, 15)
    figures = latencies(take_turns(cases, [None] * count, rounds=count))
    lines = []
    for mode in ("read-only", "for writing"):
        ours = figures[f"tsstore {mode}"]
        peers = {name: figures[name] for name in (_NUMPY, "duckdb", "arcticdb")}
        goals = (within(ours, _NUMPY, figures[_NUMPY], 1.3),)
        what = f"process: open {len(symbols):,} symbols {mode}, last row"
        lines.append(Line("P10", what, "ms", ours, peers, goals))
    return lines


def _fill(peer: Peer, rows: list[Rows]) -> None:
    for each in rows:
        peer.write(each)
    peer.settle()
    peer.close()


def _first(rows: Rows, count: int) -> Rows:
    columns = {name: array[:count] for name, array in rows.columns.items()}
    return Rows(rows.symbols[:count], rows.ts[:count], columns)


def _programs(folder: Path, symbol: str) -> dict[str, str]:
    ours = {"path": str(folder / "tsstore"), "key": f"{symbol}/{BARS}"}
    path = str(folder / "duckdb" / "data.duckdb")
    url = f"lmdb://{folder / 'arcticdb'}"
    return {
        "tsstore read-only": _TSSTORE.format(**ours, read_only=True),
        "tsstore for writing": _TSSTORE.format(**ours, read_only=False),
        "duckdb": _DUCKDB.format(path=path, symbol=symbol),
        "arcticdb": _ARCTICDB.format(url=url, symbol=symbol),
    }


def _run(program: str, folder: Path, _: None = None) -> str:
    return run_python("-c", program, bytecode=folder / "bytecode")
