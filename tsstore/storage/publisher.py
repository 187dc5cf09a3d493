"""The chain of manifests of a writing process: who may publish, and what goes afterwards.

A manifest is published and what it says is shown to readers under one lock, so that no manifest can
be made from a state that the one before had already left behind.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import StorageError
from tsstore.format.manifest import SHARED
from tsstore.storage.filenames import manifest_number
from tsstore.storage.manifest import publish_manifest
from tsstore.storage.recovery import sweep
from tsstore.storage.segments import SegmentChange

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tsstore.format.manifest import Manifest
    from tsstore.storage.state import State
    from tsstore.vfs import FileSystem

logger = logging.getLogger("tsstore.storage")


class Publisher:
    """Publishes manifests.

    Args:
        fs: the data directory.
        manifest: the valid one.
        state: what it is made from.
        last_wal: the newest WAL file there is, given the `first_wal` of the next manifest.
        certain: holds the log while a manifest is published with this checkpoint, and has every
            commit that the manifest will know of on the medium.

    Attributes:
        manifest: the valid one.
        refused: whether a manifest ever was.
        publishing: held from before a manifest is published to after the result is shown.
        changing: held by whoever replaces or deletes from segments, from the moment it looks at
            them to the moment the result is shown.
    """

    def __init__(
        self,
        fs: FileSystem,
        manifest: Manifest,
        state: State,
        last_wal: Callable[[int], int],
        certain: Callable[[int], AbstractContextManager[None]],
    ) -> None:
        self.manifest = manifest
        self.refused = False
        self.changing = threading.Lock()
        self._fs = fs
        self._state = state
        self._last_wal = last_wal
        self._certain = certain
        self._next_segment = manifest.next_segment
        self._numbers = threading.Lock()
        self.publishing = threading.Lock()

    def take_number(self) -> int:
        """The number of a new segment."""
        with self._numbers:
            number = self._next_segment
            self._next_segment += 1
            return number

    def publish(
        self, change: SegmentChange | None = None, *, checkpoint: int = 0, **fields: Any
    ) -> None:
        """Publish a manifest of this moment with a change of its segments, and show it.

        Args:
            change: new and removed segments.
            checkpoint: every commit up to this one is in the segments; 0 leaves it as it was.
            fields: fields of the manifest that change.

        Raises:
            StorageError: refused; nothing is shown. Files of `change` must stay all the same,
                because a manifest that could not be synced may be valid.
        """
        try:
            with self._certain(checkpoint):
                self._publish(change, checkpoint, fields)
        except StorageError:
            self.refused = True
            raise

    def publish_beginning(self) -> None:
        """Publish a manifest of this moment before the first commit is appended to the log.

        Raises:
            StorageError: refused.
        """
        self._publish(None, 0, {})

    def _publish(
        self, change: SegmentChange | None, checkpoint: int, fields: dict[str, Any]
    ) -> None:
        with self.publishing:
            doomed = self._state.take_doomed()
            try:
                manifest = self._described(change, checkpoint, fields)
                publish_manifest(self._fs, manifest)
            except BaseException:
                self._state.put_back_doomed(doomed)
                raise
            if change is not None:
                doomed |= self._state.adopt(change, checkpoint)
            # Afterwards: whoever takes the checkpoint from here finds its segments in the view.
            self.manifest = manifest
            self._state.release(doomed)
            self._remove_older(manifest.number)

    def _remove_older(self, number: int) -> None:
        """Remove the manifests before this one: nobody may take one of them for the newest."""
        with contextlib.suppress(StorageError):  # they are swept at the next opening
            for name in self._fs.names(""):
                older = manifest_number(name)
                if older is not None and older < number:
                    self._fs.remove(name)

    def _described(
        self, change: SegmentChange | None, checkpoint: int, fields: dict[str, Any]
    ) -> Manifest:
        manifest, view = self._state.describe(self.manifest)
        segments = view.segments
        if change is not None:
            # A bucket may have been destroyed while its segments were merged.
            owners = change.table["bucket"]
            dead = (owners != SHARED) & ~np.isin(owners, manifest.bucket_ids)
            removed = frozenset(change.table["number"][dead].tolist())
            segments = segments.changed(change).changed(SegmentChange(removed=removed))
        return replace(
            manifest,
            number=manifest.number + 1,
            checkpoint=checkpoint or manifest.checkpoint,
            last_wal=self._last_wal(fields.get("first_wal", manifest.first_wal)),
            next_segment=self._next_segment,
            segments=segments.table,
            segment_names=segments.names,
            deletes=segments.deletes,
            **fields,
        )

    def sweep(self) -> None:
        """Remove what the manifest no longer names; what stays is swept at the next open."""
        try:
            # Not beside a publication: the next manifest would be taken for a leftover.
            with self.publishing:
                sweep(self._fs, self.manifest)
            self.remove_unused()
        except StorageError as error:
            logger.warning("files that are no longer needed stay for now: %s", error)

    def remove_unused(self, *, closing: bool = False) -> None:
        """Remove replaced files that no reader looks at any more; at the end, all of them."""
        files = self._state.take_unused(closing=closing)
        try:
            for name in list(files):
                self._fs.remove(name)
                self._fs.prune_dirs(name.rpartition("/")[0])
                del files[name]
        finally:
            self._state.release(files)  # what could not be removed is tried again
