"""Load flat files into a new store: a program of its own, so that its memory can be told.

`python -m benchmarks.importing PEER FOLDER FILE...` prints the seconds of each file, the peak of
the memory in bytes, the number of rows stored, and the sum of their first column.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from benchmarks.data import BARS
from benchmarks.peers import LOADERS, open_all
from benchmarks.processes import peak_memory


def _load(peer: str, folder: Path, files: list[Path]) -> None:
    loader = open_all({peer: LOADERS[peer]}, folder, BARS)[peer]
    seconds = []
    for file in files:
        begun = perf_counter()
        loader.load_flat_file(file)
        seconds.append(perf_counter() - begun)
    peak = peak_memory()
    rows, total = loader.totals()
    loader.close()
    print(*seconds, peak, rows, total)


if __name__ == "__main__":
    _load(sys.argv[1], Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
