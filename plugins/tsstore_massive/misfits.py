"""Buckets that take none of the vendor's rows, because somebody keeps something else in them.

Such a bucket costs its symbol these rows, and no other symbol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import NotFoundError
from tsstore.schema import widens
from tsstore_massive.synthetic import is_marking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsstore.api import StoreApi
    from tsstore.schema import Schema

#: What whoever owns such a bucket can do.
REMEDY = "copy what you need of it to another attribute group, and destroy it"


def misfit(store: StoreApi, key: str, schema: Schema, *, lenient: bool = False) -> str | None:
    """Why a bucket does not take every row of a schema; None if it does, or is not there.

    Args:
        store: which has the bucket; one of `marking` if the rows are made up.
        key: of the bucket.
        schema: of the rows.
        lenient: whether columns of integers are good enough; the store takes the whole numbers
            that fit them, and refuses a commit with others.
    """
    try:
        held = store.info(key).schema
    except NotFoundError:
        return None
    return misfit_of(key, held, schema, synthetic=is_marking(store), lenient=lenient)


def misfits_among(
    store: StoreApi, schemas: Mapping[str, Schema], is_wanted: Callable[[str], bool]
) -> dict[str, str]:
    """Which symbols have a misfit among their buckets, why, and what to do about it, by symbol.

    Args:
        store: which has the buckets; each of them is looked at, which takes a while of many.
        schemas: of the rows, by timeframe and attribute group.
        is_wanted: whether a symbol matters.
    """
    found: dict[str, str] = {}
    for group, schema in schemas.items():
        for key in store.list(f"*/{group}"):
            symbol = key.partition("/")[0]
            why = misfit(store, key, schema) if is_wanted(symbol) else None
            if why is not None:
                found[symbol] = f"{why}; {REMEDY}"
    return found


def misfit_of(
    key: str, held: Schema, schema: Schema, *, synthetic: bool, lenient: bool = False
) -> str | None:
    """The same of a bucket whose schema is known.

    Args:
        key: of the bucket.
        held: the schema of the bucket; columns that are wider take the rows as well.
        schema: of the rows.
        synthetic: whether the rows are made up.
        lenient: see `misfit`.
    """
    if held.synthetic != synthetic:
        kinds = ("real", "made up") if synthetic else ("made up", "real")
        return f"{key} holds rows that are {kinds[0]}, and these are {kinds[1]}"
    if held.kind is schema.kind and _takes(held, schema, lenient=lenient):
        return None
    return f"{key} holds other columns than the vendor's rows have"


def _takes(held: Schema, schema: Schema, *, lenient: bool) -> bool:
    types = held.dtypes
    return types.keys() == schema.dtypes.keys() and all(
        widens(dtype, types[name]) or (lenient and types[name].kind in "iu")
        for name, dtype in schema.columns
    )
