"""Files that are on the disk in whole or not at all, for peers that are no more than files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def replace_files(folder: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Write files anew: all under other names, synced, renamed, and the directory synced.

    Args:
        folder: where they are.
        files: what writes each file, by its name.
    """
    for name, write in files.items():
        write(folder / f"{name}.new")
    for name in files:
        sync(folder / f"{name}.new")
    for name in files:
        (folder / f"{name}.new").replace(folder / name)
    sync(folder)


def sync(path: Path) -> None:
    """Have a file or a directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
