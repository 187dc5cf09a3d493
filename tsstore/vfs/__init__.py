"""File access. The only package that opens, writes, syncs, renames and locks files.

Everything else is handed a `FileSystem` that is rooted in the data directory and takes names
relative to it (`wal/000001.wal`), so nothing can leave the directory, and
`tsstore.testing.faultfs` can stand in its place and lose, tear or refuse any operation.

Rules that hold for every implementation:

* A file whose `sync` failed is never trusted again: the kernel may have dropped the pages and
  marked them clean, so a second sync that succeeds proves nothing.
* `publish` replaces a whole file atomically; nothing else renames.
* Whatever the system refuses is raised as `StorageError` with its `errno`.

- `interface`     what the store asks of a file system
- `osfilesystem`  a directory of the operating system, with `osfile`, `oslock` and `ossync`
- `copying`       a file of one to another, whatever they are
- `refusal`       what the system refuses, as an error
"""

from tsstore.vfs.copying import copy_file
from tsstore.vfs.interface import Buffer, File, FileSystem, Lock
from tsstore.vfs.osfilesystem import OsFileSystem
from tsstore.vfs.refusal import storage_error

__all__ = ["Buffer", "File", "FileSystem", "Lock", "OsFileSystem", "copy_file", "storage_error"]
