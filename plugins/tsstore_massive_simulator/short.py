"""One row as a JSON object with whatever names an endpoint has for the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore_massive_simulator.rows import Rows

_SETS = frozenset({"conditions", "indicators"})
#: Columns that say nothing when they are zero.
_OPTIONAL = frozenset({"trf_id", "trf_timestamp", "correction"})
_TIMES_MS = "ms "


def short(rows: Rows, names: Mapping[str, str]) -> dict[str, Any]:
    """The only row of `rows`.

    Args:
        rows: a single row.
        names: columns by key, `ms COLUMN` for milliseconds of it; keys whose column the market does
            not have, or which hold nothing, are left out.
    """
    made = {key: _value(rows, column) for key, column in names.items()}
    return {key: value for key, value in made.items() if value is not None}


def _value(rows: Rows, wanted: str) -> Any:
    column = wanted.removeprefix(_TIMES_MS)
    if column not in rows.columns:
        return None
    value = rows[column][0].item()
    if column in _SETS:
        return rows.sets[value] or None
    if column in _OPTIONAL and not value:
        return None
    if column == "id":
        return value.decode() if isinstance(value, bytes) else str(value)
    if wanted.startswith(_TIMES_MS):
        return value // 1_000_000
    return int(value) if value == int(value) and column.endswith("size") else value
