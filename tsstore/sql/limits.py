"""What a statement may cost."""

from __future__ import annotations

import os
from dataclasses import dataclass

_MIB = 1024 * 1024
#: Of the machine's memory; the rest is for what the store caches and for the caller.
_MEMORY_SHARE = 4


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """Limits of the statements of one database. None stands for no limit.

    Attributes:
        memory_bytes: what DuckDB may use for all statements together, nothing of it on disk, and
            without what a function builds of a text; None for a quarter of the machine's memory.
        threads: of DuckDB; None for one per processor.
        time_s: longest time a statement may take; who asked gets the error at most a second later.
        rows_max: rows that a statement may return.
        statement_bytes_max: longest statement.
        calls: statements at work at one time, with those that were ended and that DuckDB has not
            left yet; further ones are refused.
    """

    memory_bytes: int | None = None
    threads: int | None = None
    time_s: float | None = None
    rows_max: int | None = None
    statement_bytes_max: int = _MIB
    calls: int | None = None

    @property
    def memory(self) -> int:
        """`memory_bytes`, or its default."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MEMORY_SHARE
