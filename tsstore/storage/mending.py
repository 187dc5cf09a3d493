"""Writing what can be read of a damaged store to new segments.

A row that cannot be read may have replaced an older one, which must not come back: rows of fixed
buckets that are older than lost ones, and of the same time, are left out as well.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tsstore.format.manifest import SHARED
from tsstore.storage.chunk import without
from tsstore.storage.filenames import BUCKETS_DIR, segment_number
from tsstore.storage.flush import SegmentWriter, deletes_of_former, runs_before
from tsstore.storage.places import Place
from tsstore.storage.repairreport import MAY_BE_BACK
from tsstore.storage.salvage import SegmentSalvage, find_footer, stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tsstore.storage.remains import Remains
    from tsstore.storage.repairreport import RepairReport
    from tsstore.storage.salvage import Salvage
    from tsstore.storage.segments import Run, SegmentSet
    from tsstore.vfs import FileSystem

    # Commit of a segment, a bucket, and the times of its rows that are lost, shape (ranges, 2).
    _Gone = tuple[int, int, NDArray[np.int64]]
    _Write = Callable[[SegmentWriter, SegmentSet], None]


class Mending:
    """Saves rows of damaged segments and of the log.

    Attributes:
        next_segment: number for the next file.
    """

    def __init__(self, fs: FileSystem, remains: Remains, report: RepairReport) -> None:
        self._fs = fs
        self._store_id = remains.manifest.store_id
        self._state = remains.state
        self._report = report
        # Above all files there are: those of a repair that was cut off must not be written over.
        files = map(segment_number, fs.walk(BUCKETS_DIR))
        taken = max((number for number in files if number is not None), default=0)
        self.next_segment = max(remains.manifest.next_segment, taken + 1)

    def look(self, found: list[int]) -> None:
        """Count what `run` would save and lose; rows that it would leave out are not looked for.

        Args:
            found: rows of the segment table whose files are damaged.
        """
        self._count_log()
        for row in found:
            self.salvage(self._state.view.segments, row)

    def run(self, found: list[int]) -> SegmentSet:
        """The segments without the damaged ones, with what was saved of them and of the log.

        Args:
            found: rows of the segment table whose files are damaged.
        """
        segments = self._state.view.segments
        damaged = set(segments.table["number"][found].tolist())
        # Rows of the log first: where they are newer or older than a lost row is then all the same.
        segments = self._write(segments, self._flush)
        gone: list[_Gone] = []
        segments = self._write(segments, partial(self._save_all, damaged, gone))
        # Afterwards, so that what was saved of older segments is looked at as well.
        return self._write(segments, partial(self._hide_all, gone))

    def _write(self, segments: SegmentSet, write: _Write) -> SegmentSet:
        writer = SegmentWriter(self._fs, self._store_id, self._take_number)
        try:
            write(writer, segments)
            return segments.changed(writer.finish())
        except BaseException:
            writer.abandon()
            raise

    def _take_number(self) -> int:
        number = self.next_segment
        self.next_segment += 1
        return number

    def _flush(self, writer: SegmentWriter, segments: SegmentSet) -> None:
        """Write the rows of the log to segments."""
        self._count_log()
        catalog, chunks = self._state.catalog, self._state.view.chunks
        newer = deletes_of_former(chunks, catalog)
        for schema_id, of_schema in chunks.items():
            schema, deletes = catalog.schemas[schema_id], newer.get(schema_id, {})
            writer.flush(schema_id, schema, of_schema, catalog, segments, deletes)

    def _count_log(self) -> None:
        for of_schema in self._state.view.chunks.values():
            self._report.rows_saved += sum(len(chunk.ts) for chunk in of_schema)

    def _save_all(
        self, damaged: set[int], gone: list[_Gone], writer: SegmentWriter, segments: SegmentSet
    ) -> None:
        """Write what can be read of damaged segments to new ones, and note what is gone."""
        for row, number in enumerate(segments.table["number"].tolist()):
            if number not in damaged:
                continue
            writer.replace([number])
            salvage = self.salvage(segments, row)
            if salvage is None:
                continue
            entry = segments.table[row]
            sequences = (int(entry["first_sequence"]), int(entry["last_sequence"]))
            gone += [(sequences[0], bucket_id, times) for bucket_id, times in salvage.gone]
            self._keep_deletes(writer, segments, sequences[0], salvage)
            chunk = without(salvage.chunk(sequences), segments.masks(number))
            schema_id, catalog = int(entry["schema"]), self._state.catalog
            writer.write(schema_id, catalog.schemas[schema_id], chunk, catalog.by_id)

    def _keep_deletes(
        self, writer: SegmentWriter, segments: SegmentSet, sequence: int, salvage: Salvage
    ) -> None:
        """What segments of format 1 delete from older ones becomes a matter of the manifest."""
        for bucket_id, first, last in salvage.deletes:
            bucket = self._state.catalog.by_id(bucket_id)
            for run in runs_before(segments, bucket, sequence) if bucket else ():
                writer.delete(run.number, bucket_id, first, last)

    def salvage(self, segments: SegmentSet, row: int) -> Salvage | None:
        """What can be read of a damaged segment; None if that is nothing."""
        entry, name = segments.table[row], segments.names[row]
        number, owner = int(entry["number"]), int(entry["bucket"])
        catalog = self._state.catalog
        keys, schema = catalog.keys_by_id(), catalog.schemas[int(entry["schema"])]
        found = find_footer(self._fs, name, self._store_id ^ number)
        if found is not None and not found.sound:
            # The manifest knows the columns, and is sound or made from sound files.
            found = replace(found, footer=replace(found.footer, schema=schema))
        if found is None or found.footer.schema != schema:
            key = keys.get(owner)
            place = (int(entry["rows"]), int(entry["first_ts"]), int(entry["last_ts"]))
            self._report.lost.append(Place((key,) if key else (), *place))
            path = self._fs.describe(name)
            self._report.notes.append(
                f"{path} is gone or says nothing that can be believed; {MAY_BE_BACK}"
            )
            return None
        bucket = None if owner == SHARED else owner
        salvage = SegmentSalvage(self._fs, name, found, keys, bucket).run()
        if not all(place.keys for place in salvage.lost):
            self._report.notes.append(
                f"{self._fs.describe(name)} does not say whose rows some of it are; {MAY_BE_BACK}"
            )
        self._report.lost += salvage.lost
        self._report.rows_saved += len(salvage.ts)
        return salvage

    def _hide_all(self, gone: list[_Gone], writer: SegmentWriter, segments: SegmentSet) -> None:
        """Leave out older rows that lost ones may have replaced."""
        for sequence, bucket_id, times in gone:
            bucket = self._state.catalog.by_id(bucket_id)
            if bucket is None or bucket.schema.is_variable:
                continue
            for run in runs_before(segments, bucket, sequence):
                for first, last, rows in _hidden(run, times):
                    writer.delete(run.number, bucket_id, first, last)
                    self._report.hidden.append(Place((bucket.key,), rows, first, last))


def _hidden(run: Run, times: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """First and last instant, and number, of neighbouring rows whose time is in one of the ranges.

    Args:
        run: whose rows.
        times: int64 nanoseconds, shape (ranges, 2), both ends included.
    """
    near = times[(times[:, 1] >= run.first_ts) & (times[:, 0] <= run.last_ts)]
    if len(near) == 0:
        return
    near = near[np.argsort(near[:, 0], kind="stable")]
    low, high = run.search(int(near[0, 0]), "left"), run.search(int(near[:, 1].max()), "right")
    if low == high:
        return
    ts = run.rows((0,), low, high)[0]
    before = near[:, 0].searchsorted(ts, "right")
    reach = np.maximum.accumulate(near[:, 1])
    inside = (before > 0) & (reach[before - 1] >= ts)
    for first, end in stretches(inside):
        yield int(ts[first]), int(ts[end - 1]), end - first
