"""The memory of a subscription against one that forgets nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsstore.columns import Columns
from tsstore.following.handedout import HandedOut

KEYS = ("A/1Sec/X", "B/1Sec/X")
INSTANTS = st.integers(0, 60)
VALUES = st.sampled_from([0.0, -0.0, 1.0, float("nan")])
ROWS = st.lists(st.tuples(INSTANTS, VALUES), min_size=1, max_size=12)


def columns(rows, *, variable=True, wide=False):
    ordered = sorted(rows, key=lambda row: row[0])
    ts = np.array([at for at, _ in ordered], np.int64)
    arrays = {"V": np.array([value for _, value in ordered], "f8")}
    if wide:
        arrays["W"] = np.zeros(len(ordered), "i1")
    return Columns(ts, arrays, variable=variable)


def listed(rows):
    return Counter(zip(rows.ts.tolist(), rows["V"].view("i8").tolist(), strict=True))


@given(st.lists(st.tuples(st.sampled_from(KEYS), ROWS), max_size=60), st.integers(4, 80))
def test_ticks_that_were_handed_out_are_known_from_the_horizon_on(added, rows_max):
    memory = HandedOut(bytes_max=16 * rows_max)
    all_of = {key: [] for key in KEYS}
    for key, rows in added:
        memory.add(key, columns(rows))
        all_of[key] += rows
        assert memory._bytes <= 16 * rows_max
    for key, rows in all_of.items():
        horizon = memory.horizon(key)
        late = [row for row in rows if row[0] >= horizon]
        asked = columns([*late, *late, (61, 5.0)])
        found = memory.without(key, asked)
        assert listed(found) == listed(columns([*late, (61, 5.0)]))


@given(st.lists(ROWS, min_size=1, max_size=60))
def test_of_a_slot_only_the_last_version_is_known(added):
    memory = HandedOut()
    newest = {}
    for rows in added:
        slots = dict(rows)
        memory.add(KEYS[0], columns(slots.items(), variable=False))
        newest |= slots
    same = columns(newest.items(), variable=False)
    assert len(memory.without(KEYS[0], same)) == 0
    other = columns([(at, 7.0) for at in newest], variable=False)
    assert len(memory.without(KEYS[0], other)) == len(newest)


def test_rows_of_another_schema_are_not_known():
    memory = HandedOut()
    memory.add(KEYS[0], columns([(1, 1.0), (2, 1.0)]))
    memory.add(KEYS[0], columns([(5, 1.0)], wide=True))
    assert memory.horizon(KEYS[0]) == 3
    assert len(memory.without(KEYS[0], columns([(5, 1.0)]))) == 1
    assert len(memory.without(KEYS[0], columns([(5, 1.0)], wide=True))) == 0
