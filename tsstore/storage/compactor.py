"""The thread that compacts: now and then by itself, slowly, and at once when it is asked to."""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from tsstore.clock import SystemClock
from tsstore.errors import ClosedError, CorruptionError
from tsstore.reports import CompactionReport
from tsstore.storage.compaction import Job, Merger, jobs, own_jobs, shared_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tsstore.storage.catalog import Bucket
    from tsstore.storage.flush import SegmentWriter
    from tsstore.storage.publisher import Publisher
    from tsstore.storage.segments import SegmentSet
    from tsstore.storage.state import State

logger = logging.getLogger("tsstore.storage")

# A manifest is published after so many bytes were merged, or so many jobs carried out.
_ROUND_BYTES = 256 << 20
_ROUND_JOBS = 512
# After a refusal the disk gets so much time to recover.
_RETRY_S = 60.0


class _Stopped(Exception):  # noqa: N818  not an error
    """The store is being closed."""


class _Request:
    """A caller waiting for a compaction of all it names."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self.wanted = wanted
        self.report = CompactionReport()
        self.done = threading.Event()
        self.error: BaseException | None = None


class Compactor:
    """Compacts the segments of one writer.

    Args:
        state: whose segments.
        publisher: makes the results valid.
        new_writer: writes new segments.
        published: called after each manifest.
        bytes_per_s: how fast rows are rewritten when nobody waits; 0 for not at all.
    """

    def __init__(
        self,
        state: State,
        publisher: Publisher,
        new_writer: Callable[[], SegmentWriter],
        published: Callable[[], None],
        *,
        bytes_per_s: int,
    ) -> None:
        self._state = state
        self._publisher = publisher
        self._new_writer = new_writer
        self._published = published
        self._bytes_per_s = bytes_per_s
        self._clock = SystemClock()
        self._requests: list[_Request] = []
        self._looks = False
        self._retry_at = 0.0
        self._stopping = False
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._damaged: set[int] = set()  # segments that could not be read are left alone

    def look(self, after_s: float = 0.0) -> None:
        """There are new segments: see whether something is worth merging, after some time."""
        if not self._bytes_per_s or self._stopping:
            return
        with self._wake:
            self._looks = True
            if after_s:
                self._retry_at = self._clock.monotonic() + after_s
            self._start()

    def compact(self, wanted: Callable[[str], bool]) -> CompactionReport:
        """Merge all that can be merged of the buckets whose key is wanted, and wait for it.

        Raises:
            ClosedError: the store was closed meanwhile.
            CorruptionError: a segment cannot be read; others were compacted.
            StorageError: the disk refused; nothing is lost.
        """
        request = _Request(wanted)
        with self._wake:
            if self._stopping:
                raise ClosedError("the store was closed; open it again")
            self._requests.append(request)
            self._start()
        request.done.wait()
        if request.error is not None:
            raise request.error
        return request.report

    def stop(self) -> None:
        """Give up what is under way, and end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        for request in self._requests:
            request.error = ClosedError("the store was closed; open it again")
            request.done.set()

    # The thread

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tsstore-compact", daemon=True)
            self._thread.start()
        self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._stopping or self._requests or self._is_due()):
                    self._wake.wait(self._pause())
                if self._stopping:
                    return
                request = self._requests.pop(0) if self._requests else None
                if request is None:
                    self._looks = False
            if request is None:
                self._work()
            else:
                self._answer(request)

    def _is_due(self) -> bool:
        return self._looks and self._clock.monotonic() >= self._retry_at

    def _pause(self) -> float | None:
        """How long to wait if nothing happens."""
        return max(0.0, self._retry_at - self._clock.monotonic()) if self._looks else None

    def _work(self) -> None:
        """What nobody asked for."""
        try:
            while self._round(self._worth_it, self._throttle):
                pass
        except _Stopped:
            return
        except Exception as error:  # noqa: BLE001  nobody waits for it, and nothing is lost
            logger.warning("compaction failed and will be tried again: %s", error)
            with self._wake:
                self._looks = True
                self._retry_at = self._clock.monotonic() + _RETRY_S

    def _worth_it(self, segments: SegmentSet, checkpoint: int) -> Iterator[Job]:
        for job in jobs(segments, self._state.catalog, checkpoint):
            if not self._damaged.intersection(job.numbers(segments)):
                yield job

    def _answer(self, request: _Request) -> None:
        """What a caller waits for."""
        before = self._state.view.segments.table
        # What is written from now on is not part of what was asked for.
        checkpoint = self._publisher.manifest.checkpoint
        ids: deque[int] = deque()
        schema_ids: set[int] = set()
        try:
            for bucket in self._buckets(request.wanted):
                ids.append(bucket.id)
                schema_ids.update(bucket.schema_ids)
            while self._round(partial(_shared_of, schema_ids), self._go_on, checkpoint):
                pass
            while self._round(partial(self._own_of, ids), self._go_on, checkpoint):
                pass
        except _Stopped:
            request.error = ClosedError("the store was closed during the compaction")
        except BaseException as error:  # noqa: BLE001  handed to the caller
            request.error = error
        after = self._state.view.segments.table
        request.report = CompactionReport(
            len(before), len(after), int(before["bytes"].sum()), int(after["bytes"].sum())
        )
        request.done.set()

    def _buckets(self, wanted: Callable[[str], bool]) -> Iterator[Bucket]:
        catalog = self._state.catalog
        for key in filter(wanted, catalog.keys()):
            bucket = catalog.get(key)
            if bucket is not None:
                yield bucket

    def _own_of(self, ids: deque[int], segments: SegmentSet, checkpoint: int) -> Iterator[Job]:
        """Everything that can be merged of buckets.

        A bucket leaves the queue when nothing is found for it any more. It is looked up anew each
        time, because it may have been altered meanwhile.
        """
        for _ in range(len(ids)):
            bucket = self._state.catalog.by_id(ids.popleft())
            found = own_jobs(segments, bucket, checkpoint, everything=True) if bucket else []
            if bucket and found:
                ids.append(bucket.id)
                yield from found

    # One round: some jobs, one manifest

    def _round(
        self,
        choose: Callable[[SegmentSet, int], Iterable[Job]],
        pace: Callable[[int], None],
        checkpoint: int | None = None,
    ) -> bool:
        """Merge some of what is chosen.

        Args:
            choose: finds jobs in the segments, among those of commits up to a checkpoint.
            pace: called with the bytes of each slice.
            checkpoint: the newest one by default.

        Returns:
            Whether there may be more to do.
        """
        # Before the segments, so that they have all that lies between the commits up to it.
        if checkpoint is None:
            checkpoint = self._publisher.manifest.checkpoint
        segments = self._state.view.segments
        chosen = _some(choose(segments, checkpoint), segments)
        if not chosen:
            return False
        replaced = {number for job in chosen for number in job.numbers(segments)}
        writer = self._new_writer()
        try:
            self._merge(chosen, segments, writer, pace)
            change = writer.finish()
        except BaseException:
            writer.abandon()
            raise
        with self._publisher.changing:
            if not segments.same(replaced, self._state.view.segments):
                # Rows were deleted meanwhile from what was merged: merge again.
                writer.abandon()
                return True
            self._publisher.publish(change)
        del segments  # a reader of what was replaced, as far as the publisher can tell
        self._published()
        self._publisher.remove_unused()
        return True

    def _merge(
        self,
        chosen: list[Job],
        segments: SegmentSet,
        writer: SegmentWriter,
        pace: Callable[[int], None],
    ) -> None:
        merger = Merger(segments, self._state.catalog, writer, pace)
        for job in chosen:
            try:
                merger.run(job)
            except CorruptionError:
                self._damaged |= job.numbers(segments)
                raise

    def _go_on(self, _bytes: int) -> None:
        if self._stopping:
            raise _Stopped

    def _throttle(self, size: int) -> None:
        """Leave the machine to others most of the time; a caller who waits ends the leisure."""
        until = self._clock.monotonic() + size / self._bytes_per_s
        with self._wake:
            while not (self._stopping or self._requests):
                left = until - self._clock.monotonic()
                if left <= 0:
                    break
                self._wake.wait(left)
        self._go_on(size)


def _shared_of(schema_ids: set[int], segments: SegmentSet, checkpoint: int) -> Iterator[Job]:
    """Everything that can be merged of the shared segments of schemas."""
    for schema_id in sorted(schema_ids):
        yield from shared_jobs(segments, schema_id, checkpoint, everything=True)


def _some(found: Iterable[Job], segments: SegmentSet) -> list[Job]:
    """As many jobs as make one round."""
    chosen: list[Job] = []
    size = 0
    for job in found:
        chosen.append(job)
        size += job.bytes(segments)
        if len(chosen) >= _ROUND_JOBS or size >= _ROUND_BYTES:
            break
    return chosen
