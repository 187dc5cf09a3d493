"""The libraries of the extra `sql`, or an error that says how to get them."""

from __future__ import annotations

from typing import Any

from tsstore.errors import InvalidArgumentError


def import_duckdb() -> Any:
    """The module `duckdb`.

    Raises:
        InvalidArgumentError: it is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise _not_installed("DuckDB") from None
    return duckdb


def import_pyarrow() -> Any:
    """The module `pyarrow`.

    Raises:
        InvalidArgumentError: it is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise _not_installed("pyarrow") from None
    return pa


def _not_installed(package: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"SQL needs {package}, which is not installed; run `pip install tsstore[sql]`"
    )
