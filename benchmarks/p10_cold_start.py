"""P10: a whole process that opens a store of many symbols and prints the last price of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.data import BARS, minute_boundaries, names
from benchmarks.goals import within
from benchmarks.harness import Case, Line, latencies, take_turns
from benchmarks.peers import LIBRARIES, open_all
from benchmarks.processes import run_python
from benchmarks.verify import expect

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

MINUTES = 3
_NUMPY = "import numpy"
_TSSTORE = """
import tsstore
with tsstore.open({{path!r}}, read_only={read_only}) as store:
    print(store.read({{key!r}}, limit=1)["Open"][-1])
"""
_DUCKDB = """
import duckdb
with duckdb.connect({path!r} + "/data.duckdb", read_only=True) as database:
    query = "SELECT Open FROM data WHERE symbol = ? ORDER BY ts DESC LIMIT 1"
    print(database.execute(query, [{symbol!r}]).fetchone()[0])
"""
_ARCTICDB = """
import arcticdb
library = arcticdb.Arctic("lmdb://" + {path!r}).get_library("data")
print(library.tail({symbol!r}, 1).data["Open"].iloc[-1])
"""
_LMDB = """
import lmdb, numpy
with lmdb.open({path!r}, readonly=True, lock=False) as environment:
    cursor = environment.begin(buffers=True).cursor()
    cursor.set_range({symbol!r}.encode() + b"0")
    cursor.prev()
    print(numpy.frombuffer(cursor.value())[1])
"""
#: A store for each of these modes; the first word is the peer.
_PROGRAMS = {
    "tsstore read-only": _TSSTORE.format(read_only=True),
    "tsstore for writing": _TSSTORE.format(read_only=False),
    "duckdb": _DUCKDB,
    "arcticdb": _ARCTICDB,
    "lmdb": _LMDB,
}
_STORES = {name: LIBRARIES[name] for name in ("tsstore", "duckdb", "arcticdb", "lmdb")}


def run(session: Session) -> list[Line]:
    """Measure it."""
    with session.folder() as folder:
        return _measure(session, folder)


def _measure(session: Session, folder: Path) -> list[Line]:
    symbols = names(session.pick(50, 10_000))
    fewer = session.pick(5, 500)  # for ArcticDB, which takes 10 ms to append to one of them
    place = fewer - 1
    rows = minute_boundaries(symbols, MINUTES)
    stores = open_all(_STORES, folder, BARS)
    for name, store in stores.items():
        for each in rows:
            store.write(each.part(0, fewer) if name == "arcticdb" else each)
        store.close()
    programs = _programs(folder, symbols[place], [*stores])
    price = float(rows[-1].columns["Open"][place])
    for name, program in programs.items():
        expect(name, (1, float(run_python("-c", program))), (1, price))
    programs[_NUMPY] = _NUMPY
    cases = {name: Case(partial(_run, program)) for name, program in programs.items()}
    count = session.pick(1, 15)
    figures = latencies(take_turns(cases, [None] * count, rounds=count))
    modes = {mode: figures.pop(f"tsstore {mode}") for mode in ("read-only", "for writing")}
    lines = []
    for mode, ours in modes.items():
        goals = (within(ours, 1.3, _NUMPY, figures[_NUMPY]),)
        what = f"process: open {len(symbols):,} symbols {mode}, last row"
        lines.append(Line("P10", what, "ms", ours, figures, goals))
    return lines


def _programs(folder: Path, symbol: str, stores: list[str]) -> dict[str, str]:
    key = f"{symbol}/{BARS.group}"
    programs = {}
    for mode, program in _PROGRAMS.items():
        store = mode.split()[0]
        if store in stores:
            path = str(folder / store)
            programs[mode] = program.format(path=path, key=key, symbol=symbol)
    return programs


def _run(program: str, _: None) -> None:
    run_python("-c", program)
