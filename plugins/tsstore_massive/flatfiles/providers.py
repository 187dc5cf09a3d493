"""Finds the source that `--fallback` names."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tsstore_massive.flatfiles.fallback import Factory

GROUP = "tsstore.fallbacks"
_OWN = {
    "rest": "tsstore_massive.flatfiles.fallback:rest",
    "yfinance": "tsstore_massive.flatfiles.yahoo:yfinance",
}


def find_provider(name: str) -> Factory:
    """The factory of a source.

    Args:
        name: `rest`, `yfinance`, an entry point of `GROUP`, or `package.module:factory`.

    Raises:
        InvalidArgumentError: there is no such source.
    """
    path = _OWN.get(name, name)
    if ":" in path:
        module, _, attribute = path.partition(":")
        try:
            return cast("Factory", getattr(import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            raise InvalidArgumentError(f"--fallback {name}: {error}") from None
    for point in entry_points(group=GROUP, name=name):
        return cast("Factory", point.load())
    known = ", ".join(sorted({*_OWN, *entry_points(group=GROUP).names}))
    raise InvalidArgumentError(
        f"--fallback {name}: there is no such source; there are {known}, and package.module:factory"
    )
