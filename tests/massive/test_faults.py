from __future__ import annotations

from tsstore_massive.faults import KINDS_MAX, OTHER, Faults


def test_every_occurrence_is_counted() -> None:
    faults = Faults()
    faults.add("odd", times=2)
    faults.add("odd")
    assert faults.counts == {"odd": 3}


def test_a_kind_is_told_once_with_its_first_sample() -> None:
    faults = Faults()
    faults.add("odd", b"first")
    faults.add("odd", b"second")
    assert faults.take_untold() == [("odd", "first")]
    faults.add("odd", b"third")
    assert faults.take_untold() == []


def test_samples_are_short_and_printable() -> None:
    faults = Faults()
    faults.add("odd", b"\xff" + b"x" * 10_000)
    ((_, sample),) = faults.take_untold()
    assert sample.startswith("\\xff")
    assert len(sample) < 300


def test_the_number_of_kinds_is_bounded() -> None:
    faults = Faults()
    for number in range(10 * KINDS_MAX):
        faults.add(f"kind {number}")
    assert len(faults.counts) == KINDS_MAX + 1
    assert faults.counts[OTHER] == 9 * KINDS_MAX
    assert len(faults.take_untold()) == KINDS_MAX + 1


def test_long_names_are_cut() -> None:
    faults = Faults()
    faults.add("x" * 10_000)
    assert all(len(kind) < 100 for kind in faults.counts)
