r"""Control files of MarketStore's `\load`: which columns a CSV file has, and how its times read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tsstore.errors import ConfigError, InvalidArgumentError
from tsstore.yamlfile import load_yaml
from tsstore.yamlsettings import convert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tsstore.schema import Schema

TIME = "Epoch"
DATE_AND_TIME = ("Epoch-date", "Epoch-time")


class Control(msgspec.Struct, frozen=True, rename="camel"):
    """What a control file says; without one the first row has the names.

    Attributes:
        first_row_has_column_names: whether the first row holds names instead of values.
        time_format: a layout of Go, or `timestamp` for seconds since 1970.
        time_zone: IANA name of the zone of times that carry none.
        column_name_map: names by position, before those of the first row; an empty one keeps it.
    """

    first_row_has_column_names: bool = False
    time_format: str = "1/2/2006 3:04:05 PM"
    time_zone: str = "UTC"
    column_name_map: list[str] = []


WITHOUT_FILE = Control(first_row_has_column_names=True)


def read_control(path: Path) -> Control:
    """The control file.

    Raises:
        ConfigError: it cannot be read, or a key in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    return convert(load_yaml(text, str(path)), Control)


class Places(NamedTuple):
    """The columns of a CSV file.

    Attributes:
        names: one for each column of the file, all different; those that are not loaded have one
            that no bucket has.
        wanted: names of those that are loaded, in their order.
        times: the one with the time, or the two with date and time.
    """

    names: list[str]
    wanted: list[str]
    times: tuple[str, ...]


def place_columns(path: str, control: Control, first_row: Sequence[str], schema: Schema) -> Places:
    """Which columns of a file are those of a bucket.

    Args:
        path: the file, for messages.
        control: how to read it.
        first_row: its first row.
        schema: of the bucket.

    Raises:
        InvalidArgumentError: nothing names the columns, one is there twice, or one that the bucket
            needs is not there.
    """
    given = control.column_name_map
    if len(given) > len(first_row):
        raise InvalidArgumentError(
            f"columnNameMap names {len(given)} columns, and {path} has {len(first_row)}; shorten it"
        )
    if not given and not control.first_row_has_column_names:
        raise InvalidArgumentError(
            f"nothing names the columns of {path}; say firstRowHasColumnNames: true or "
            "columnNameMap: [Epoch, Open, ...] in the control file"
        )
    header = first_row if control.first_row_has_column_names else [""] * len(first_row)
    names = [name.strip() for name in header]
    for at, name in enumerate(given):
        names[at] = name or names[at]
    times = (TIME,) if TIME in names else DATE_AND_TIME
    needed = [*times, *schema.names]
    for name in needed:
        if names.count(name) != 1:
            raise InvalidArgumentError(_missing(path, name, names))
    unique = [name if name in needed else f"\0{at}" for at, name in enumerate(names)]
    return Places(unique, [name for name in unique if name in needed], times)


def _missing(path: str, name: str, names: list[str]) -> str:
    if name in names:
        return f"{path} has two columns {name!r}; name one differently by columnNameMap"
    what = f"column {name!r}"
    if name in DATE_AND_TIME:
        what = f"column {TIME!r}, nor both of {' and '.join(map(repr, DATE_AND_TIME))}"
    there = ", ".join(name for name in names if name) or "none that is named"
    return f"{path} has no {what}; it has {there[:200]}; name it by columnNameMap"
