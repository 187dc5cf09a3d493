"""Frames of a few events each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_encoder = msgspec.json.Encoder()


class Batch(NamedTuple):
    """A frame and how many events of the tape it stands for."""

    text: bytes
    events: int


def cut(events: Sequence[Any], count: int, frame_events: int, frame_bytes: float) -> list[Batch]:
    """Events as frames of at most so many events and bytes.

    Args:
        events: what to send, JSON values or structs.
        count: how many events of the tape they stand for.
        frame_events: how many a frame may hold.
        frame_bytes: how long a frame may be, unless a single event is longer.
    """
    made, left = [], count
    for group in _groups(events, frame_events, frame_bytes):
        told = min(len(group), left)
        made.append(Batch(b"[" + b",".join(group) + b"]", told))
        left -= told
    return made


def _groups(events: Sequence[Any], frame_events: int, frame_bytes: float) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 1
    for text in map(_encoder.encode, events):
        if group and (size + len(text) + 1 > frame_bytes or len(group) == frame_events):
            yield group
            group, size = [], 1
        group.append(text)
        size += len(text) + 1
    if group:
        yield group
