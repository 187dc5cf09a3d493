"""A replica's directory: made the same as its writer's, in steps each of which leaves it whole.

What a shipment names is fetched in this order: segments; the log up to where it tells of a new
manifest; that manifest; the rest of the log. Files of the log are there, empty, before one that
names them as its continuation is filled. At every moment readers of the directory find a
manifest with everything behind it, so they follow it as they follow a writer's. After a longer
absence the log may have a gap, which a manifest that needs no log bridges. What is no longer named
is removed at the end. A file `REPLICA` says of which store the directory is a replica, so
that one which was written to since is not overwritten.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import xxhash

from tsstore.clock import SystemClock
from tsstore.errors import CorruptionError, InvalidArgumentError, StorageError
from tsstore.format.manifest import Manifest, decode_manifest, encode_manifest
from tsstore.format.record import RecordError, VersionError, decode_record
from tsstore.storage.filenames import BUCKETS_DIR, LOCK, REPLICA, manifest_name, wal_name
from tsstore.storage.manifest import load_manifest
from tsstore.storage.recovery import sweep, sweep_segments
from tsstore.storage.shipping import digest
from tsstore.storage.wal import wal_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tsstore.storage.shipping import Shipment
    from tsstore.vfs import File, FileSystem

_PIECE_BYTES = 4 << 20
#: Segments are brought to the medium when so many bytes have come.
_KEPT_BYTES = 64 << 20

#: Bytes of a segment and checksum of its footer.
_Identity = tuple[int, int]


class Source(Protocol):
    """The writer, as a replica sees it."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """A piece of a file. Raises NotFoundError when there is no such file any more."""
        ...

    def digest(self, name: str, length: int) -> int:
        """XXH3-64 of the first bytes of a file; NotFoundError likewise."""
        ...


class Mirror:
    """The directory of a replica. Holds its lock, so that nobody writes to it.

    Args:
        fs: the directory.
        writer: whose replica it is, for messages.

    Attributes:
        has_replaced_log: whether a file of the log was put in the place of another one since
            somebody set this to False: who has the directory open has to open it anew.

    Raises:
        InvalidArgumentError: the directory holds something else.
        LockedError: another process writes to it, or keeps it as a replica.
    """

    def __init__(self, fs: FileSystem, writer: str) -> None:
        self._fs = fs
        self._writer = writer
        fs.make_dir("")
        holder = {
            "pid": os.getpid(),
            "started_ns": SystemClock().now_ns(),
            "command": f"replica of {writer}",
        }
        self._lock = fs.lock(LOCK, holder)
        self._digest = ""  # of the manifest that is there
        self._is_bridged = False
        self.has_replaced_log = False
        try:
            # What a killed process has left may be in memory only, the entry of the manifest too.
            fs.sync_dir("")
            self._manifest = self._own_manifest()
        except BaseException:
            self._lock.release()
            raise
        #: Segments that are there as a whole, names of those that were begun, and bytes of files of
        #: the log that are the writer's.
        self._segments = dict(_named(self._manifest)) if self._manifest else {}
        self._begun = set[str]()
        self._wal: dict[int, int] = {}
        self._is_swept = False

    @property
    def is_whole(self) -> bool:
        """Whether the directory can be read."""
        return self._manifest is not None

    def close(self) -> None:
        """Let others have the directory."""
        self._lock.release()

    @property
    def manifest_number(self) -> int:
        """Of the manifest that is there; 0 when there is none, or only a bridge to one."""
        return 0 if self._manifest is None or self._is_bridged else self._manifest.number

    def update(self, shipment: Shipment, source: Source, seen: Callable[[], None]) -> None:
        """Bring the directory to the moment of a shipment.

        Args:
            shipment: what the writer says.
            source: where its files are.
            seen: called when all of it can be read, before anything is removed.

        Raises:
            NotFoundError: the writer has replaced a file meanwhile; ask for another shipment.
            InvalidArgumentError: the directory is no replica of this store, or was written to.
            CorruptionError: what came is not what was sent.
            StorageError: refused; the next update goes on.
        """
        manifest = self._accepted(shipment)
        wanted = dict(_named(manifest))
        wanted |= {name: (size, checksum) for name, size, checksum in shipment.loaded}
        for number, length in shipment.wal:
            if number not in self._wal:
                self._wal[number] = self._verified(wal_name(number), length, source)
        if manifest is self._manifest:
            self._fetch_segments(wanted, source)
        else:
            self._advance(manifest, wanted, shipment, source)
        self._extend_log(shipment.wal, source)
        seen()
        self._remove_others(manifest, wanted)

    def _own_manifest(self) -> Manifest | None:
        names = set(self._fs.names("")) - {LOCK, f"{REPLICA}.tmp"}
        manifest = load_manifest(self._fs)
        if REPLICA not in names:
            if not names:
                return None
            what = "holds a store of its own" if manifest else f"holds {min(names)!r}"
            raise InvalidArgumentError(f"{self._fs.describe('')} {what}; {_ANOTHER}")
        try:
            _, _, _ = known = json.loads(self._fs.read(REPLICA))["manifests"]
        except (ValueError, TypeError, KeyError):
            path = self._fs.describe(REPLICA)
            raise InvalidArgumentError(f"{path} is not what a replica writes; {_ANOTHER}") from None
        if manifest is None:
            return None
        self._digest = _digest(self._fs.read(manifest_name(manifest.number)))
        self._is_bridged = self._digest == known[1] != known[2]
        if self._digest not in known:
            raise InvalidArgumentError(
                f"{self._fs.describe('')} was written to since it was a replica; {_ANOTHER}"
            )
        return manifest

    def _accepted(self, shipment: Shipment) -> Manifest:
        own = self._manifest
        if own is None:
            return self._decoded(shipment)
        if own.store_id != shipment.store_id:
            raise InvalidArgumentError(
                f"{self._fs.describe('')} is a replica of another store than {self._writer} "
                f"serves; {_ANOTHER}"
            )
        if own.lineage != shipment.lineage or own.number > shipment.manifest_number:
            raise InvalidArgumentError(
                f"{self._fs.describe('')} is a replica of what {self._writer} was before it was "
                f"restored from a backup; {_ANOTHER}"
            )
        return own if self.manifest_number == shipment.manifest_number else self._decoded(shipment)

    def _decoded(self, shipment: Shipment) -> Manifest:
        try:
            manifest = decode_manifest(decode_record(shipment.manifest))
        except (RecordError, VersionError) as error:
            raise CorruptionError(
                self._writer, 0, f"a manifest that came from there: {error}"
            ) from None
        if (manifest.number, manifest.store_id) != (shipment.manifest_number, shipment.store_id):
            raise CorruptionError(
                self._writer, 0, "a manifest came from there under a wrong number"
            )
        return manifest

    def _fetch_segments(self, wanted: dict[str, _Identity], source: Source) -> None:
        fresh = list[str]()
        size = 0
        try:
            for name, identity in wanted.items():
                if self._segments.get(name) == identity:
                    continue
                self._fetch_segment(name, identity[0], source)
                fresh.append(name)
                size += identity[0]
                if size >= _KEPT_BYTES:
                    self._keep(fresh, wanted)
                    fresh, size = [], 0
        finally:
            self._keep(fresh, wanted)  # a copy that is broken off goes on there

    def _keep(self, names: list[str], wanted: dict[str, _Identity]) -> None:
        """Have files that are whole on the medium."""
        if not names:
            return
        try:
            self._fs.sync_files(names)
        except StorageError:
            self._begun.update(names)  # only new files are certain now
            raise
        self._segments |= {name: wanted[name] for name in names}

    def _fetch_segment(self, name: str, size: int, source: Source) -> None:
        if not name.startswith(f"{BUCKETS_DIR}/") or ".." in name.split("/"):
            raise CorruptionError(self._writer, 0, f"{name[:200]!r} is no name of a segment")
        self._segments.pop(name, None)
        if name not in self._begun and self._is_there(name, size, source):
            return
        self._begun.add(name)
        self._fs.remove(name)
        file = self._fs.create(name)
        try:
            self._copy(file, name, 0, size, source)
        finally:
            file.close()

    def _is_there(self, name: str, size: int, source: Source) -> bool:
        """Whether an earlier process has left a file that is whole."""
        if not self._fs.exists(name):
            return False
        file = self._fs.open(name)
        try:
            return file.size() == size and digest(file, size) == source.digest(name, size)
        finally:
            file.close()

    def _extend_log(self, files: list[tuple[int, int]], source: Source) -> None:
        new = [wal_name(number) for number, _ in files if not self._fs.exists(wal_name(number))]
        for name in new:
            self._fs.create(name).close()
        if new:
            self._sync_logs(new)
        for number, length in files:
            there = self._wal[number]
            if there < length:
                self._append(number, there, length, source)

    def _append(self, number: int, there: int, length: int, source: Source) -> None:
        name = wal_name(number)
        file = self._fs.open(name, append=True)
        del self._wal[number]  # if this fails, how much of it is there has to be found out
        try:
            self._copy(file, name, there, length, source)
            self._sync(file, name)
        finally:
            file.close()
        self._wal[number] = length

    def _sync(self, file: File, name: str) -> None:
        try:
            file.sync()
        except StorageError:
            # What the medium did not take may look as if it were there: only a new file is certain.
            self._remove_log(name)
            raise

    def _verified(self, name: str, length: int, source: Source) -> int:
        """How many bytes of a file are the writer's; a file that is not is removed."""
        if not self._fs.exists(name):
            return 0
        file = self._fs.open(name)
        try:
            size = file.size()
            is_same = size <= length and digest(file, size) == source.digest(name, size)
        finally:
            file.close()
        if not is_same:
            self._remove_log(name)
            return 0
        self._sync_logs([name])
        return size

    def _sync_logs(self, names: list[str]) -> None:
        try:
            self._fs.sync_files(names)
        except StorageError:
            for name in names:
                self._remove_log(name)
            raise

    def _remove_log(self, name: str) -> None:
        self._fs.remove(name)
        self.has_replaced_log = True

    def _copy(self, file: File, name: str, start: int, end: int, source: Source) -> None:
        while start < end:
            piece = source.read(name, start, min(_PIECE_BYTES, end - start))
            if not piece:
                raise CorruptionError(
                    self._writer, start, f"{name} ends there and should have {end} bytes"
                )
            file.append([piece])
            start += len(piece)

    def _advance(
        self, manifest: Manifest, wanted: dict[str, _Identity], shipment: Shipment, source: Source
    ) -> None:
        """Go on to another manifest."""
        # Without the log: what comes between the old log and the new one may be gone.
        bridge = encode_manifest(replace(manifest, last_wal=0, sealed=()))
        self._note(shipment, [self._digest, _digest(bridge), _digest(shipment.manifest)])
        self._fetch_segments(wanted, source)
        if self._manifest is None or self._is_continued(shipment):
            self._extend_log(_before(shipment), source)
        else:
            self._is_bridged = True
            self._publish(manifest, bridge)
            self._extend_log(shipment.wal, source)
        self._publish(manifest, shipment.manifest)
        self._is_bridged = False

    def _is_continued(self, shipment: Shipment) -> bool:
        """Whether the log goes on where the one that is there ends."""
        newest = max(wal_numbers(self._fs), default=0)
        return any(number <= newest for number, _ in shipment.wal)

    def _note(self, shipment: Shipment, manifests: list[str]) -> None:
        """Say whose replica this is, and which manifests it may have."""
        store = f"{shipment.store_id:016x}"
        note = {"store": store, "writer": self._writer, "manifests": manifests}
        self._fs.publish(REPLICA, json.dumps(note).encode() + b"\n")

    def _publish(self, manifest: Manifest, data: bytes) -> None:
        self._fs.publish(manifest_name(manifest.number), data)
        self._manifest, self._digest = manifest, _digest(data)

    def _remove_others(self, manifest: Manifest, wanted: dict[str, _Identity]) -> None:
        sweep(self._fs, manifest)
        self._wal = {n: length for n, length in self._wal.items() if n >= manifest.first_wal}
        if not self._is_swept:
            sweep_segments(self._fs, frozenset(wanted))
            self._is_swept = True
        for name in (self._segments.keys() | self._begun) - wanted.keys():
            self._fs.remove(name)
            self._fs.prune_dirs(name.rpartition("/")[0])
            self._segments.pop(name, None)
        self._begun.clear()


_ANOTHER = "choose an empty directory for the replica"


def _digest(manifest: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(manifest)


def _named(manifest: Manifest) -> Iterator[tuple[str, _Identity]]:
    """Name and identity of the segments of a manifest."""
    sizes, checksums = (manifest.segments[name].tolist() for name in ("bytes", "checksum"))
    return zip(manifest.segment_names, zip(sizes, checksums, strict=True), strict=True)


def _before(shipment: Shipment) -> list[tuple[int, int]]:
    """The log as it was before it told of the manifest."""
    number, length = shipment.announced
    return [
        (n, min(size, length) if n == number else size) for n, size in shipment.wal if n <= number
    ]
