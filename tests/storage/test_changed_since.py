"""What was written since a commit, told by files and memory without reading rows."""

from __future__ import annotations

import numpy as np
import pytest

from tsstore.columns import Columns
from tsstore.store import Store
from tsstore.times import MAX_NS, MIN_NS

MINUTE = 60 * 10**9
A, B = "A/1Min/X", "B/1Min/X"


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "data") as opened:
        yield opened


def rows(*minutes):
    return Columns(np.array(minutes) * MINUTE, {"V": np.ones(len(minutes))})


def spans(changed, key):
    """First and last minute of all stretches of a bucket."""
    several = changed.stretches[key]
    return min(one[0] for one in several) // MINUTE, max(one[1] for one in several) // MINUTE


def test_everything_is_new_at_the_beginning(store):
    assert store.changed_since(0) == (0, {})
    store.write(A, rows(1, 5))
    store.write(B, rows(7))
    changed = store.changed_since(0)
    assert (spans(changed, A), spans(changed, B)) == ((1, 5), (7, 7))
    assert list(store.changed_since(0, "B/*/*").stretches) == [B]


@pytest.mark.parametrize("settle", [lambda _s: None, Store.flush, Store.compact])
def test_only_later_rows_are_new(store, settle):
    store.write(A, rows(1, 2, 3))
    store.write(B, rows(1))
    settle(store)
    position = store.changed_since(0).position
    assert store.changed_since(position).stretches == {}
    store.write(A, rows(3, 4))
    changed = store.changed_since(position)
    assert list(changed.stretches) == [A]
    assert spans(changed, A) == (3, 4)


def test_files_may_tell_more_and_never_less(store):
    store.write(A, rows(*range(100)))
    position = store.changed_since(0).position
    store.write(A, rows(50))
    store.flush()
    store.compact()
    first, last = spans(store.changed_since(position), A)
    assert first <= 50 <= last


def test_it_lasts_over_a_restart(tmp_path):
    with Store(tmp_path / "data") as store:
        store.write(A, rows(1))
        position = store.changed_since(0).position
        store.write(B, rows(2))
    with Store(tmp_path / "data") as store:
        assert list(store.changed_since(position).stretches) == [B]


def test_a_position_of_another_store_counts_as_none(store):
    store.write(A, rows(1))
    assert list(store.changed_since(1000).stretches) == [A]


def test_listeners_are_told_where_rows_changed(store):
    told = []
    store.add_listener(lambda commit: told.append(commit.touched()))

    def last():
        touched = told[-1]
        assert touched.sequence == store.changed_since(0).position
        stretches = [tuple(one) for one in touched.stretches(lambda _key: True)]
        assert len(stretches) == len(touched)
        return stretches

    store.write_many({A: rows(1, 5), B: rows(7)})
    assert sorted(last()) == [(A, MINUTE, 5 * MINUTE, False), (B, 7 * MINUTE, 7 * MINUTE, False)]
    first, end = np.array([1, 2]).astype("M8[m]")
    store.replace(A, first, end, rows(2))
    assert last() == [(A, MINUTE, 2 * MINUTE, True), (A, 2 * MINUTE, 2 * MINUTE, False)]
    store.delete(A, first, end)
    assert last() == [(A, MINUTE, 2 * MINUTE, True)]
    store.delete(A, end=first)
    assert last() == []
    store.copy(A, "C/1Min/X")
    assert last() == [("C/1Min/X", 5 * MINUTE, 5 * MINUTE, False)]
    store.rename("C/1Min/X", "D/1Min/X")
    assert last() == [("D/1Min/X", MIN_NS, MAX_NS, False)]
    store.bulk({A: rows(*range(100_000))})
    assert last() == [(A, 0, 99_999 * MINUTE, False)]


def test_of_a_file_that_cannot_say_what_it_holds_everything_may_be_new(tmp_path):
    with Store(tmp_path / "data") as store:
        store.write_many({A: rows(1, 2), B: rows(3)})
        store.flush()
        position = store.changed_since(0).position
    path = next((tmp_path / "data").rglob("*.seg"))
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)
    with Store(tmp_path / "data") as store:
        changed = store.changed_since(position)
        assert changed.stretches == {key: [(MIN_NS, MAX_NS)] for key in (A, B)}
