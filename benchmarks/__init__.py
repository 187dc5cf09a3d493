"""tsstore against DuckDB, ArcticDB and the official Massive client, on the same data in one run."""
