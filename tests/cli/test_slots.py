"""Rows of a file that meet in slots, against what one counts row by row."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tsstore import Write, WriteTable
from tsstore.cli.slots import SlotWatch
from tsstore.tables import Table

MINUTE = 60 * 10**9


def cross_section(rows):
    """Rows of (symbol, instant) as a write of many symbols."""
    names = list(dict.fromkeys(name for name, _ in rows))
    codes = np.array([names.index(name) for name, _ in rows])
    return WriteTable("1Min/X", Table(np.array([at for _, at in rows]), {}, names, codes=codes))


def write(name, instants):
    return Write(f"{name}/1Min/X", {"Epoch": np.array(instants, "M8[ns]")})


def drawn(pick, count, minutes):
    return [(pick.choice("ABC"), pick.randrange(minutes * MINUTE)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_crowds_within_a_piece_are_all_counted(seed):
    pick = random.Random(seed)
    rows = drawn(pick, count=30, minutes=40)
    if seed % 2:
        rows.sort()
    slots = {}
    for name, at in rows:
        slots.setdefault(f"{name}/1Min/X", []).append(at // MINUTE * MINUTE)
    crowds = SlotWatch("1Min", "UTC").look([cross_section(rows[:20]), cross_section(rows[20:])])
    assert {crowd.key: crowd.replaced for crowd in crowds} == {
        key: len(of) - len(set(of)) for key, of in slots.items() if len(of) > len(set(of))
    }
    for crowd in crowds:
        of = slots[crowd.key]
        assert crowd.slot_ns == min(slot for slot in of if of.count(slot) > 1)
        assert crowd.slot_rows == of.count(crowd.slot_ns)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_crowds_of_pieces_in_order_are_all_counted(seed, descending):
    rows = drawn(random.Random(seed), count=30, minutes=20)
    rows.sort(key=lambda row: row[1], reverse=descending)
    watch = SlotWatch("1Min", "UTC")
    pieces = [rows[first : first + 7] for first in range(0, len(rows), 7)]
    replaced = sum(
        crowd.replaced for piece in pieces for crowd in watch.look([cross_section(piece)])
    )
    assert watch.exact
    assert replaced == len(rows) - len({(name, at // MINUTE) for name, at in rows})


def test_a_piece_between_two_others_may_hide_crowds():
    watch = SlotWatch("1Min", "UTC")
    watch.look([write("A", [0, 9 * MINUTE]), write("B", [0])])
    assert watch.exact
    assert watch.look([write("B", [MINUTE])]) == []
    assert watch.exact
    (crowd,) = watch.look([write("A", [5 * MINUTE, 9 * MINUTE + 1])])
    assert crowd == ("A/1Min/X", 1, 9 * MINUTE, 2)
    assert not watch.exact
