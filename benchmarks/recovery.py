"""A store with a long log that is killed, and the same opened again, each in a process of its own.

`python -m benchmarks.recovery write PEER FOLDER KIND BYTES` writes rows of so many bytes that stay
in the log, prints how many and the sum of their first column, and waits for the end.
`python -m benchmarks.recovery reopen PEER FOLDER KIND` prints the seconds until the store is open,
the peak of the memory in bytes, the rows found and their sum.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.data import BARS, TICKS, minute_boundaries, names, tick_batches
from benchmarks.peers import LOGS, open_all
from benchmarks.processes import peak_memory

if TYPE_CHECKING:
    from benchmarks.data import Rows

KINDS = {"bars": BARS, "ticks": TICKS}
_BAR_SYMBOLS = 5_000
_TICK_SYMBOLS = 1_000


def _batches(kind: str, size: int) -> list[Rows]:
    """Batches as they come, of so many bytes in all."""
    rows = size // KINDS[kind].row_bytes + 1
    if kind == "bars":
        return minute_boundaries(names(_BAR_SYMBOLS), -(-rows // _BAR_SYMBOLS))
    return tick_batches(names(_TICK_SYMBOLS), -(-rows // _TICK_SYMBOLS), _TICK_SYMBOLS)


def _write(peer: str, folder: Path, kind: str, size: int) -> None:
    log = open_all({peer: LOGS[peer]}, folder, KINDS[kind])[peer]
    log.keep_log()
    for rows in _batches(kind, size):
        log.write(rows)
    print(*log.totals(), flush=True)
    sys.stdin.read()


def _reopen(peer: str, folder: Path, kind: str) -> None:
    begun = perf_counter()
    log = open_all({peer: LOGS[peer]}, folder, KINDS[kind])[peer]
    seconds = perf_counter() - begun
    peak = peak_memory()
    print(seconds, peak, *log.totals())
    log.close()


if __name__ == "__main__":
    action, peer, folder, kind, *size = sys.argv[1:]
    if action == "write":
        _write(peer, Path(folder), kind, int(size[0]))
    else:
        _reopen(peer, Path(folder), kind)
