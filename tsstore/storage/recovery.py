"""Opening a directory: find the valid manifest, replay the log behind it, judge how it ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tsstore.errors import CorruptionError, InvalidArgumentError
from tsstore.format.commit import decode_commit
from tsstore.format.constants import KIND_COMMIT, KIND_WAL_HEADER
from tsstore.format.manifest import Manifest
from tsstore.storage.filenames import (
    BUCKETS_DIR,
    LOCK,
    WAL_DIR,
    manifest_name,
    manifest_number,
    segment_number,
    wal_name,
)
from tsstore.storage.manifest import load_manifest, publish_manifest
from tsstore.storage.wal import Position, WalReader, check_torn_tail, wal_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.format.commit import Commit
    from tsstore.format.record import Record
    from tsstore.storage.catalog import Catalog
    from tsstore.storage.state import State
    from tsstore.vfs import FileSystem

# Merging the chunks of so many commits, or bytes, at once saves copying their rows tier by tier;
# with more the buffers that they were read into would pile up.
_UNTIDY_MAX = 1024
_UNTIDY_BYTES_MAX = 8 << 20


def load_or_create(fs: FileSystem, timezone: str | None) -> Manifest:
    """The valid manifest; in an empty directory, the first one. For the writer only.

    Args:
        fs: the directory.
        timezone: what the first one says, as it may be the last one for long: a store of which
            nothing comes for now keeps its zone.

    Raises:
        InvalidArgumentError: the directory holds other things.
        CorruptionError: it held a store and the manifest is gone.
    """
    manifest = load_manifest(fs)
    if manifest is not None:
        return manifest
    if wal_numbers(fs) or fs.names(BUCKETS_DIR):
        raise CorruptionError(fs.describe("MANIFEST"), 0, "the manifest of this store is missing")
    check_not_marketstore(fs)
    foreign = [
        name
        for name in fs.names("")
        if name not in (LOCK, WAL_DIR) and manifest_number(name.removesuffix(".tmp")) is None
    ]
    if foreign:
        raise InvalidArgumentError(
            f"{fs.describe('')} is not a store and holds {foreign[0]!r}; use an empty directory"
        )
    fs.make_dir(WAL_DIR)
    store_id = int.from_bytes(os.urandom(8)) >> 1
    manifest = Manifest(number=1, store_id=store_id, timezone=timezone)
    publish_manifest(fs, manifest)
    return manifest


def check_not_marketstore(fs: FileSystem) -> None:
    """Say what to do with a directory that a MarketStore has written.

    Raises:
        InvalidArgumentError: this is one.
    """
    if "category_name" in fs.names(""):
        root = fs.describe("").rstrip("/")
        raise InvalidArgumentError(
            f"{root} is the directory of a MarketStore, whose files are copied, not opened: run "
            f"`tsstore migrate {root} --dir NEW`, and let root_directory in mkts.yml name NEW"
        )


class Replay:
    """Applies the log to a state, from the manifest's checkpoint on.

    Attributes:
        sequence: of the newest commit that was applied, or that the manifest covers.
        clean: whether the log ends where a clean close left it.
        applied: called with each commit and its number, after it can be read.
    """

    def __init__(self, fs: FileSystem, manifest: Manifest, state: State) -> None:
        self._fs = fs
        self._manifest = manifest
        self._state = state
        self.reader = WalReader(fs, manifest.store_id, Position(manifest.first_wal))
        self.sequence = manifest.checkpoint
        self.clean = True
        self.applied: Callable[[Commit, int], None] = lambda _commit, _sequence: None
        self._untidy = 0
        self._untidy_bytes = 0

    def run(self) -> None:
        """Apply everything there is.

        Raises:
            CorruptionError: a commit is missing or unreadable in the middle of the log.
        """
        self._check_sealed_sizes()
        there = {n for n in wal_numbers(self._fs) if n >= self._manifest.first_wal}
        needed = {*range(self._manifest.first_wal, self._manifest.last_wal + 1)}
        numbers = sorted(there | needed)
        for number in numbers:
            if number not in there or number != self.reader.position.number:
                raise self._damage(self.reader.position.number, 0, "it is needed and it is gone")
            self._run_file(number, last=number == numbers[-1])
        following = self.reader.following
        if following == self.reader.position.number and not self._fs.exists(wal_name(following)):
            raise self._damage(following, 0, "it is needed and it is gone")

    def _run_file(self, number: int, *, last: bool) -> None:
        for record in self.reader.records():
            self.follow(record)
        self.tidy()
        if self.reader.position.number != number:
            self._state.barrier()
            return
        if number in dict(self._manifest.sealed):
            offset = self.reader.position.offset
            raise self._damage(number, offset, "it was closed whole and is not any more")
        tail = self.reader.unread()
        if tail:
            check_torn_tail(self._fs, self._manifest.store_id, self.reader.position, tail)
        if last:
            self.clean = False
        else:
            # The process died between beginning the next file and ending this one. If a commit
            # were lost here, the next file would begin with a later one than is expected.
            self.reader.skip_file()

    def follow(self, record: Record) -> None:
        """Apply one record of the log if it is news."""
        if record.kind == KIND_WAL_HEADER:
            first = record.meta["first_sequence"]
            if first != self.sequence + 1 and self.sequence > self._manifest.checkpoint:
                what = f"it begins with commit {first} and follows commit {self.sequence}"
                raise self._damage(record.sequence, 0, what)
            if first > self.sequence + 1:
                what = f"it begins with commit {first} and commit {self.sequence + 1} is missing"
                raise self._damage(record.sequence, 0, what)
        elif record.kind == KIND_COMMIT and record.sequence > self.sequence:
            if record.sequence != self.sequence + 1:
                offset = self.reader.position.offset
                what = f"commit {self.sequence + 1} is missing before commit {record.sequence}"
                raise self._damage(self.reader.position.number, offset, what)
            commit = decode_commit(record)
            self._state.apply(commit, record.sequence)
            self.sequence = record.sequence
            self.applied(commit, record.sequence)
            self._untidy += 1
            self._untidy_bytes += sum(section.bytes for section in commit.sections)
            if self._untidy >= _UNTIDY_MAX or self._untidy_bytes >= _UNTIDY_BYTES_MAX:
                self.tidy()

    def tidy(self) -> None:
        """Merge what was applied since the last time, so that readers look at few chunks."""
        if self._untidy:
            self._untidy = self._untidy_bytes = 0
            while self._state.tidy():
                pass

    def _check_sealed_sizes(self) -> None:
        numbers = set(wal_numbers(self._fs))
        for number, length in self._manifest.sealed:
            if number not in numbers:
                raise self._damage(number, 0, "it is needed and it is gone")
            file = self._fs.open(wal_name(number))
            try:
                found = file.size()
            finally:
                file.close()
            if found != length:
                what = f"it has {found} bytes and the manifest says {length}"
                raise self._damage(number, min(found, length), what)

    def _damage(self, number: int, offset: int, what: str) -> CorruptionError:
        return CorruptionError(self._fs.describe(wal_name(number)), offset, what)


def sweep(fs: FileSystem, manifest: Manifest) -> None:
    """Remove what a crash left behind and the manifest does not name. For the writer only."""
    numbers = {name: manifest_number(name.removesuffix(".tmp")) for name in fs.names("")}
    valid = manifest_name(manifest.number)
    leftovers = [name for name, number in numbers.items() if number is not None and name != valid]
    leftovers += [wal_name(number) for number in wal_numbers(fs) if number < manifest.first_wal]
    if not leftovers:
        return
    # What an older manifest needs may go only once it is certain that this one stays.
    fs.sync_dir("")
    for name in leftovers:
        fs.remove(name)


def sweep_segments(fs: FileSystem, live: frozenset[str]) -> None:
    """Remove segments that were written and not published in time. Walks every directory."""
    for name in list(fs.walk(BUCKETS_DIR)):
        if segment_number(name) is not None and name not in live:
            fs.remove(name)
            fs.prune_dirs(name.rpartition("/")[0])


def settle_zone(fs: FileSystem, stored: str | None, catalog: Catalog, wanted: str | None) -> str:
    """The zone whose midnights begin the slots of days, weeks, months and years.

    Args:
        fs: the directory.
        stored: the zone that it was written with, if it says so.
        catalog: its buckets.
        wanted: the zone it is to be opened with; None for the one it has.

    Raises:
        InvalidArgumentError: buckets of such slots were written with another one: a writer would
            give them two slots a day, a reader would look for rows where they are not.
    """
    if stored is None or wanted is None or stored == wanted:
        return wanted or stored or "UTC"
    keys = catalog.keys()
    for key in keys:
        bucket = catalog.get(key)
        if bucket and bucket.timeframe.is_calendar and not bucket.schema.is_variable:
            refusal = (
                f"{fs.describe('')} has days that begin at midnight of {stored} ({key}), and is to "
                f"be opened with timezone {wanted}"
            )
            error = InvalidArgumentError(f"{refusal}; leave the timezone out, or say {stored}")
            error.shell_text = (
                f"{refusal}; write `timezone: {stored}` in the mkts.yml that names this directory "
                "(./mkts.yml, or that of `start -c`)"
            )
            raise error
    return wanted
