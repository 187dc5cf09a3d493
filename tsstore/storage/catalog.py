"""The catalog: which buckets there are, under which id and with which schema.

Ids are never used twice, so rows of a destroyed bucket can never turn up in a new one of its name.
A bucket that a commit is about to create is *reserved*: later commits may write to it, readers do
not see it until the commit is on disk.
"""

from __future__ import annotations

import threading
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.errors import NotFoundError
from tsstore.key import BucketKey
from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tsstore.format.manifest import Former, Manifest
    from tsstore.schema import Schema


class Bucket(NamedTuple):
    """One bucket.

    Attributes:
        id: its number in this store.
        key: its name.
        schema_id: number of its schema.
        schema: its columns.
        timeframe: the slot length.
        former: numbers of the schemas it had before, oldest first; rows may still have them.
    """

    id: int
    key: str
    schema_id: int
    schema: Schema
    timeframe: Timeframe
    former: tuple[int, ...] = ()

    @property
    def schema_ids(self) -> tuple[int, ...]:
        """Numbers of the schemas its rows may have, oldest first."""
        return (*self.former, self.schema_id)


class Catalog:
    """All buckets of a store.

    Writers reserve while the log settles or refuses, so every change, and every table that is made
    when it is first asked for, is made under one lock. Looking up a bucket again needs none.

    Attributes:
        lock: who holds it shows what it changes at once.
        next_bucket: id of the next bucket.
        next_schema: number of the next schema.
        schemas: all schemas by number.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.next_bucket = manifest.next_bucket
        self.next_schema = manifest.next_schema
        self.schemas: dict[int, Schema] = dict(manifest.schemas)
        # Bucket objects are made when they are asked for: ten thousand of them take longer than
        # all the rest of opening a store.
        ids = manifest.bucket_ids.tolist()
        self._ids: dict[str, int] = dict(zip(manifest.keys, ids, strict=True))
        self._keys: dict[int, str] | None = None
        self._schema_of = np.zeros(max(64, 2 * self.next_bucket), np.uint32)
        self._schema_of[manifest.bucket_ids] = manifest.bucket_schemas
        self._former = dict(manifest.former)
        self._buckets: dict[str, Bucket] = {}
        self._reserved: dict[str, Bucket] = {}
        self._reserved_ids: dict[int, Bucket] = {}
        self._groups: dict[str, dict[str, int]] = {}
        self._recent: dict[str, tuple[list[str], NDArray[np.uint32]]] = {}
        self._sorted: list[str] | None = None
        self._unlogged: set[int] = set()  # schemas that no commit on disk has brought yet
        self.lock = threading.RLock()

    def get(self, key: str) -> Bucket | None:
        """The bucket of that name that readers see."""
        bucket = self._buckets.get(key)
        if bucket is not None or key not in self._ids:
            return bucket
        with self.lock:
            bucket_id = self._ids.get(key)
            if bucket_id is None:
                return None
            bucket = self._bucket(bucket_id, key, int(self._schema_of[bucket_id]))
            self._buckets[key] = bucket
            return bucket

    def known(self, key: str) -> Bucket:
        """The bucket of that name that readers see.

        Raises:
            NotFoundError: no such bucket.
        """
        bucket = self.get(key)
        if bucket is None:
            raise NotFoundError.of_bucket(f"there is no bucket {key}")
        return bucket

    def find(self, key: str) -> Bucket | None:
        """The bucket of that name that writers see: reserved ones too."""
        return self._reserved.get(key) or self.get(key)

    def _bucket(self, bucket_id: int, key: str, schema_id: int) -> Bucket:
        timeframe = Timeframe.parse(BucketKey.parse(key).timeframe)
        former = tuple(number for number, _ in self._former.get(bucket_id, ()))
        return Bucket(bucket_id, key, schema_id, self.schemas[schema_id], timeframe, former)

    def keys(self) -> list[str]:
        """Names of all buckets, sorted. The list is shared: do not change it."""
        with self.lock:
            if self._sorted is None:
                self._sorted = sorted(self._ids)
            return self._sorted

    def keys_by_id(self) -> dict[int, str]:
        """Names by id. Shared: do not change it."""
        with self.lock:
            if self._keys is None:
                self._keys = {bucket_id: key for key, bucket_id in self._ids.items()}
            return self._keys

    def by_id(self, bucket_id: int) -> Bucket | None:
        """The bucket of an id that readers see."""
        key = self.keys_by_id().get(bucket_id)
        return None if key is None else self.get(key)

    def find_id(self, bucket_id: int) -> Bucket | None:
        """The bucket of an id that writers see: reserved ones too."""
        with self.lock:
            return self._reserved_ids.get(bucket_id) or self.by_id(bucket_id)

    def schema_ids(self, bucket_ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The schema id of each bucket."""
        return self._schema_of[bucket_ids]

    def group(self, group: str) -> dict[str, int]:
        """Symbol to bucket id of `timeframe/attribute group`, reserved ones too. Shared."""
        with self.lock:
            members = self._groups.get(group)
            if members is None:
                suffix = "/" + group
                cut = len(suffix)
                members = {key[:-cut]: i for key, i in self._ids.items() if key.endswith(suffix)}
                for key, bucket in self._reserved.items():
                    if key.endswith(suffix):
                        members[key[:-cut]] = bucket.id
                self._groups[group] = members
            return members

    def ids(self, group: str, symbols: list[str]) -> NDArray[np.uint32]:
        """The bucket id of each symbol of `timeframe/attribute group`; 0 where there is none."""
        with self.lock:  # what is refused meanwhile must not be remembered
            recent = self._recent.get(group)
            if recent is not None and recent[0] == symbols:
                return recent[1]  # minute after minute the same symbols
            members = self.group(group)
            found = np.fromiter(map(members.get, symbols, repeat(0)), np.uint32, len(symbols))
            if found.all():
                self._recent[group] = (symbols, found)
            return found

    def schema_id(self, schema: Schema) -> tuple[int, bool]:
        """The number of a schema, and whether the log has to be told what it is."""
        with self.lock:
            for number, known in self.schemas.items():
                if known == schema:
                    return number, number in self._unlogged
            number = self.next_schema
            self.next_schema += 1
            self.schemas[number] = schema
            self._unlogged.add(number)
            return number, True

    def take_id(self) -> int:
        """The id of a new bucket."""
        with self.lock:
            bucket_id = self.next_bucket
            self.next_bucket += 1
            return bucket_id

    def reserve(self, key: str, schema_id: int, bucket_id: int) -> Bucket:
        """A new bucket for writers; `settle` or `forget` ends the reservation."""
        with self.lock:
            self.next_bucket = max(self.next_bucket, bucket_id + 1)
            if bucket_id >= len(self._schema_of):
                grown = np.zeros(2 * bucket_id, np.uint32)
                grown[: len(self._schema_of)] = self._schema_of
                self._schema_of = grown
            self._schema_of[bucket_id] = schema_id
            bucket = self._bucket(bucket_id, key, schema_id)
            self._reserved_ids[bucket_id] = bucket
            self._reserved[key] = bucket
            symbol, _, group = key.partition("/")
            if group in self._groups:
                self._groups[group][symbol] = bucket_id
            return bucket

    def settle(self, schemas: dict[int, Schema], created: Iterable[tuple[int, str, int]]) -> None:
        """Show buckets to readers: the commit that creates them is on disk, or was replayed."""
        with self.lock:
            self.schemas |= schemas
            self._unlogged.difference_update(schemas)
            self.next_schema = max([self.next_schema, *(number + 1 for number in schemas)])
            for bucket_id, key, schema_id in created:
                bucket = self._reserved.get(key)
                if bucket is None or bucket.id != bucket_id:
                    bucket = self.reserve(key, schema_id, bucket_id)
                self._ids[key] = bucket_id
                if self._keys is not None:
                    self._keys[bucket_id] = key
                self._sorted = None
                # Last: a writer must find it in one place or the other.
                del self._reserved[key], self._reserved_ids[bucket_id]

    def rename(self, renamed: Iterable[tuple[int, str]]) -> None:
        """Give buckets other names."""
        with self.lock:
            for bucket_id, key in renamed:
                old = self.keys_by_id().get(bucket_id)
                if old is None:  # replayed, and the bucket was destroyed since
                    continue
                former = self._former.get(bucket_id)
                self.remove([bucket_id])
                if former is not None:
                    self._former[bucket_id] = former
                self._ids[key] = bucket_id
                self.keys_by_id()[bucket_id] = key
                symbol, _, group = key.partition("/")
                if group in self._groups:
                    self._groups[group][symbol] = bucket_id

    def alter(self, altered: Iterable[tuple[int, int]], sequence: int) -> None:
        """Give buckets other schemas, by the commit of this number."""
        with self.lock:
            for bucket_id, schema_id in altered:
                key = self.keys_by_id().get(bucket_id)
                if key is None:  # replayed, and the bucket was destroyed since
                    continue
                former = int(self._schema_of[bucket_id])
                self._former[bucket_id] = (*self._former.get(bucket_id, ()), (former, sequence))
                self._schema_of[bucket_id] = schema_id
                self._buckets.pop(key, None)

    def logged_schemas(self) -> dict[int, Schema]:
        """Schemas for the manifest: those that readers of the log were told of.

        The others belong to commits that were refused, or are yet to be appended; were they in the
        manifest, the next writer would not log them, and who follows the log would not know them.
        """
        with self.lock:
            return {n: s for n, s in self.schemas.items() if n not in self._unlogged}

    def former(self) -> Former:
        """The schemas that buckets had before, for the manifest."""
        with self.lock:
            return dict(self._former)

    def schema_at(self, bucket_id: int, sequence: int) -> int:
        """The schema that a bucket had for the commit of this number; 0 when it is gone."""
        with self.lock:
            if bucket_id not in self.keys_by_id():
                return 0
            for schema_id, altered in self._former.get(bucket_id, ()):
                if sequence < altered:
                    return schema_id
            return int(self._schema_of[bucket_id])

    def alterations(self) -> list[int]:
        """Numbers of the commits that altered buckets, ascending."""
        with self.lock:
            return sorted({altered for of in self._former.values() for _, altered in of})

    def forget(self, created: Iterable[tuple[int, str, int]]) -> None:
        """Drop the reservations of a commit that was refused.

        An interrupt may have ended the reserving, or this, in the middle: what is left is dropped.
        """
        with self.lock:
            for bucket_id, key, _ in created:
                self._reserved_ids.pop(bucket_id, None)
                bucket = self._reserved.get(key)
                if bucket is None or bucket.id != bucket_id:
                    continue
                symbol, _, group = key.partition("/")
                self._groups.get(group, {}).pop(symbol, None)
                self._recent.pop(group, None)
                del self._reserved[key]  # last: it tells what is left to do

    def remove(self, bucket_ids: Iterable[int]) -> None:
        """Forget destroyed buckets."""
        with self.lock:
            for bucket_id in bucket_ids:
                key = self.keys_by_id().pop(bucket_id, None)
                if key is None:
                    continue
                self._former.pop(bucket_id, None)
                del self._ids[key]
                self._buckets.pop(key, None)
                symbol, _, group = key.partition("/")
                self._groups.get(group, {}).pop(symbol, None)
                self._recent.pop(group, None)
                self._sorted = None

    def tables(self) -> tuple[list[str], NDArray[np.uint32], NDArray[np.uint32]]:
        """Keys, ids and schema ids of all buckets, for the manifest."""
        with self.lock:
            ids = np.fromiter(self._ids.values(), np.uint32, len(self._ids))
            return list(self._ids), ids, self._schema_of[ids]
