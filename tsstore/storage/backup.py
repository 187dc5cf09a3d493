"""Backups: a store at one moment in a directory of its own, while the writer goes on.

A backup is a data directory like any other, closed cleanly: the segments there were, as hard links
where the disk is the same; the rows that were in the log alone, in segments of the backup's own;
and a manifest. The manifest comes last and is published in one step. So a directory holds its older
backup until the newer one is whole, and one without a manifest is no store to anybody. A file
`BACKUP` beside it says for which store the directory is kept, so that no other one is written over.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from tsstore.clock import SystemClock
from tsstore.errors import CorruptionError, InvalidArgumentError, NotFoundError, StorageError
from tsstore.reports import BackupReport
from tsstore.storage.catalog import Catalog
from tsstore.storage.filenames import BACKUP, BUCKETS_DIR, LOCK, WAL_DIR
from tsstore.storage.flush import SegmentWriter, deletes_of_former
from tsstore.storage.manifest import load_manifest, manifest_numbers, publish_manifest
from tsstore.storage.recovery import Replay, sweep, sweep_segments
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State
from tsstore.times import format_ns
from tsstore.vfs import OsFileSystem, copy_file

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from tsstore.format.manifest import Manifest
    from tsstore.storage.segments import SegmentSet
    from tsstore.storage.state import View
    from tsstore.vfs import FileSystem, Lock

# Where the numbers of segments of the backup's own begin, counted from those of the store.
_OWN_NUMBERS = 1 << 32
# A writer in another process may remove files while we look; each time there is a newer manifest.
_ATTEMPTS = 20


class Snapshot(NamedTuple):
    """A store at one moment.

    Attributes:
        manifest: its buckets and segments.
        view: its rows; as long as somebody holds it, their writer keeps the files.
    """

    manifest: Manifest
    view: View

    @staticmethod
    def of(state: State, manifest: Manifest) -> Snapshot:
        """The state of this moment, and a manifest of the store."""
        described, view = state.describe(manifest)
        return Snapshot(replace(described, segment_names=view.segments.names), view)


class Backup:
    """One backup in the making; a context, which holds the lock of its directory.

    Args:
        source: the data directory.
        dest: where to.
        linked: whether segments may be hard links.

    Raises:
        InvalidArgumentError: `dest` holds something else than an older backup.
        LockedError: somebody else writes to `dest`.
    """

    def __init__(self, source: FileSystem, dest: FileSystem, *, linked: bool = True) -> None:
        self._source = source
        self._dest = dest
        self._linked = linked
        self._note = _read_note(dest)
        self._older: Manifest | None = None
        self._number = 0
        self._next_segment = 0
        self._report = BackupReport(dest.describe("").rstrip("/"))
        dest.make_dir("")
        self._lock: Lock = dest.lock(LOCK, {"command": "backup"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def write(self, snapshot: Snapshot) -> BackupReport:
        """Copy everything and make the backup valid.

        Raises:
            InvalidArgumentError: what is there is a backup of another store, or a newer one.
            StorageError: refused; with ENOENT, a file went because another process removed it.
        """
        self._begin(snapshot)
        self._copy_segments(snapshot)
        segments = snapshot.view.segments
        catalog = Catalog(snapshot.manifest)
        writer = SegmentWriter(self._dest, snapshot.manifest.store_id, self._take_number)
        newer = deletes_of_former(snapshot.view.chunks, catalog)
        for schema_id, chunks in snapshot.view.chunks.items():
            schema, deletes = catalog.schemas[schema_id], newer.get(schema_id, {})
            writer.flush(schema_id, schema, chunks, catalog, segments, deletes)
        segments = segments.changed(writer.finish())
        manifest = replace(
            snapshot.manifest,
            number=self._number,
            checkpoint=snapshot.view.sequence,
            first_wal=1,
            last_wal=0,
            sealed=(),
            next_segment=self._next_segment,
            segments=segments.table,
            segment_names=segments.names,
            deletes=segments.deletes,
            lineage=self._older.lineage if self._older else _new_lineage(),
        )
        publish_manifest(self._dest, manifest)
        sweep(self._dest, manifest)
        sweep_segments(self._dest, segments.files)
        table = segments.table
        return replace(
            self._report,
            sequence=snapshot.view.sequence,
            segments=len(table),
            bytes=int(table["bytes"].sum()),
            rows=int(table["rows"].sum()),
            copied=self._report.copied + len(writer.names),
            copied_bytes=self._report.copied_bytes + writer.bytes,
        )

    def _take_number(self) -> int:
        number = self._next_segment
        self._next_segment += 1
        return number

    def _begin(self, snapshot: Snapshot) -> None:
        """Check that the older backup is one of this store, and say whose directory it is."""
        manifest, dest = snapshot.manifest, self._dest
        older = load_manifest(dest)
        self._older = older
        self._number = older.number + 1 if older else manifest.number
        # Segments of the backup's own never have the name of one of the store, nor of the older
        # backup, which stays whole until the end.
        beyond = older.next_segment if older else 0
        self._next_segment = max(manifest.next_segment + _OWN_NUMBERS, beyond)
        if older is not None:
            self._check_older(older, snapshot)
        note = {
            "store": f"{manifest.store_id:016x}",
            "manifest": self._number,
            "sequence": snapshot.view.sequence,
            "taken": format_ns(SystemClock().now_ns()),
        }
        dest.publish(BACKUP, json.dumps(note).encode() + b"\n")
        dest.make_dir(WAL_DIR)

    def _check_older(self, older: Manifest, snapshot: Snapshot) -> None:
        path = self._report.path
        if older.store_id != snapshot.manifest.store_id:
            raise InvalidArgumentError(f"{path} is a backup of another store; {_ANOTHER}")
        if older.number > self._note.get("manifest", 0):
            raise InvalidArgumentError(f"{path} was written to since it was made; {_ANOTHER}")
        if older.checkpoint > snapshot.view.sequence:
            raise InvalidArgumentError(
                f"{path} has commit {older.checkpoint}, which is newer than commit "
                f"{snapshot.view.sequence} of this store; {_ANOTHER}"
            )

    def _copy_segments(self, snapshot: Snapshot) -> None:
        older = _listed(self._older) if self._older else {}
        kept = linked = copied = copied_bytes = 0
        added = []
        for name, identity in _files(snapshot.view.segments).items():
            if older.get(name) == identity and self._has(name, identity[1]):
                kept += 1
                continue
            added.append(name)
            if self._link(name):
                linked += 1
            else:
                copy_file(self._source, name, self._dest, name)
                copied += 1
                copied_bytes += identity[1]
        if added:
            self._dest.sync_files(added)
        self._report = replace(
            self._report, kept=kept, linked=linked, copied=copied, copied_bytes=copied_bytes
        )

    def _has(self, name: str, length: int) -> bool:
        if not self._dest.exists(name):
            return False
        file = self._dest.open(name)
        try:
            return file.size() == length
        finally:
            file.close()

    def _link(self, name: str) -> bool:
        self._dest.make_dir(name.rpartition("/")[0])
        # What a backup that was cut off left may be a link: never write into it.
        self._dest.remove(name)
        return self._linked and self._dest.link(self._source.describe(name), name)


_ANOTHER = "choose another directory"


def _new_lineage() -> int:
    """See `Manifest`; replicas of the one history refuse to go on with another."""
    return int.from_bytes(os.urandom(8)) >> 1


def backup_target(source: FileSystem, dest: str | os.PathLike[str]) -> FileSystem:
    """The directory of a backup.

    Raises:
        InvalidArgumentError: it is the store itself, or within it.
    """
    # Not Path.resolve: a link that leads back to itself is for the file system to refuse.
    store, path = Path(os.path.realpath(source.describe(""))), Path(os.path.realpath(dest))
    if path == store or store in path.parents:
        raise InvalidArgumentError(f"{dest} is within the store {store}; {_ANOTHER}")
    return OsFileSystem(path)


def back_up_beside(source: FileSystem, dest: FileSystem, *, linked: bool = True) -> BackupReport:
    """A backup of a directory that another process may be writing.

    It may hold a commit that its writer has appended and not yet acknowledged.

    Raises:
        CorruptionError: the store is damaged.
        StorageError: refused; or the writer replaced files faster than they could be copied.
    """
    with Backup(source, dest, linked=linked) as backup:
        for attempt in range(_ATTEMPTS):
            newest = manifest_numbers(source)[-1:]
            try:
                return backup.write(_followed(source))
            except (CorruptionError, StorageError) as error:
                gone = isinstance(error, CorruptionError) or error.errno == errno.ENOENT
                changed = newest != manifest_numbers(source)[-1:]
                if not (gone and changed) or attempt == _ATTEMPTS - 1:
                    raise
    raise AssertionError("unreachable")


def _followed(fs: FileSystem) -> Snapshot:
    manifest = load_manifest(fs)
    if manifest is None:
        raise NotFoundError(f"{fs.describe('')} holds no store; check the path")
    cache = SegmentCache(fs, manifest.store_id, bytes_max=1, files_max=1)
    state = State(manifest, cache)
    replay = Replay(fs, manifest, state)
    try:
        replay.run()
    finally:
        replay.reader.close()
    return Snapshot.of(state, manifest)


def restore(backup: FileSystem, dest: FileSystem) -> BackupReport:
    """Copy a backup to a new directory, which can then be opened as a store.

    Raises:
        InvalidArgumentError: `dest` is not empty.
        NotFoundError: `backup` holds no store.
        CorruptionError: `backup` is damaged.
    """
    if load_manifest(backup) is None:
        raise NotFoundError(f"{backup.describe('')} holds no whole backup; check the path")
    if dest.names(""):
        raise InvalidArgumentError(
            f"{dest.describe('')} is not empty; restore to a new directory, and swap the two then"
        )
    report = back_up_beside(backup, dest, linked=False)
    dest.remove(BACKUP)
    dest.sync_dir("")
    return report


def _read_note(dest: FileSystem) -> dict[str, int]:
    """What `BACKUP` says; empty in an empty directory.

    Raises:
        InvalidArgumentError: the directory holds something else.
    """
    names = set(dest.names("")) - {LOCK, f"{BACKUP}.tmp"}
    if not names:
        return {}
    if BACKUP not in names:
        known = manifest_numbers(dest) or BUCKETS_DIR in names
        what = "is a store and no backup" if known else f"holds {min(names)!r}"
        raise InvalidArgumentError(f"{dest.describe('')} {what}; {_ANOTHER}")
    try:
        note = json.loads(dest.read(BACKUP))
        return {"manifest": int(note["manifest"])}
    except (ValueError, TypeError, KeyError):
        raise InvalidArgumentError(
            f"{dest.describe(BACKUP)} is not what a backup writes; {_ANOTHER}"
        ) from None


def _listed(manifest: Manifest) -> dict[str, tuple[int, int, int]]:
    return _identities(manifest.segment_names, manifest.segments)


def _files(segments: SegmentSet) -> dict[str, tuple[int, int, int]]:
    return _identities(segments.names, segments.table)


def _identities(names: list[str], table: NDArray[np.void]) -> dict[str, tuple[int, int, int]]:
    """Number, bytes and checksum of each segment, by its file name."""
    columns = (table[name].tolist() for name in ("number", "bytes", "checksum"))
    return dict(zip(names, zip(*columns, strict=True), strict=True))
