"""Files that a repair keeps under another name, in a directory of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.clock import SystemClock
from tsstore.times import format_ns
from tsstore.vfs import copy_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore.vfs import FileSystem

_IN_NAMES = str.maketrans({" ": "T", ":": None, "-": None})


def put_aside(fs: FileSystem, names: Sequence[str]) -> str:
    """Keep files, as links where that is possible, and return the directory they are in.

    The files stay where they are as well; the others are on the medium at return.
    """
    aside = _free_name(fs)
    for name in names:
        _keep(fs, name, f"{aside}/{name}")
    fs.sync_files([f"{aside}/{name}" for name in names])
    return aside


def _free_name(fs: FileSystem) -> str:
    now = format_ns(SystemClock().now_ns())[:19].translate(_IN_NAMES)
    aside = f"damaged-{now}"
    for place in range(1, 1000):
        if not fs.names(aside):
            break
        aside = f"damaged-{now}.{place}"
    return aside


def _keep(fs: FileSystem, name: str, new_name: str) -> None:
    fs.make_dir(new_name.rpartition("/")[0])
    if not fs.link(fs.describe(name), new_name):
        copy_file(fs, name, fs, new_name)
