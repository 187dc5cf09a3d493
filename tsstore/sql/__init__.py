"""`SELECT` over buckets, by DuckDB on Arrow.

A statement's tables are looked up by name (`tables.py`) and shown to DuckDB as Arrow datasets that
hold nothing (`scan.py`). DuckDB plans the statement; what its plan filters by symbol and by time is
taken from there (`pushdown.py`), and only those rows and columns are read when it runs it
(`database.py`), piece by piece. DuckDB applies every filter itself as well, so what is not
understood costs time and not rightness.

The extra `sql` installs what this needs (DuckDB, pyarrow); nothing of it is imported before a
statement is run.
"""

from __future__ import annotations

from tsstore.sql.database import SqlDatabase
from tsstore.sql.limits import SqlLimits
from tsstore.sql.result import SqlResult

__all__ = ["SqlDatabase", "SqlLimits", "SqlResult"]
