"""Copying a file, piece by piece, so that memory does not grow with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsstore.vfs.interface import FileSystem

_PIECE_BYTES = 8 << 20


def copy_file(source: FileSystem, name: str, dest: FileSystem, new_name: str) -> None:
    """Make a file with the bytes of another; the caller syncs it."""
    original = source.open(name)
    try:
        copy = dest.create(new_name)
        try:
            offset = 0
            while piece := original.pread(offset, _PIECE_BYTES):
                copy.append([piece])
                offset += len(piece)
        finally:
            copy.close()
    finally:
        original.close()
