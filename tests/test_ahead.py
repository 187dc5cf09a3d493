"""What is made on a thread while the one before it is used."""

from __future__ import annotations

import threading

import pytest

from tsstore.ahead import ahead


def test_the_next_item_is_made_while_one_is_used():
    begun = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(begun):
            event.set()
            yield number

    found = []
    for item in ahead(items()):
        if item + 1 < len(begun):
            assert begun[item + 1].wait(10)
        found.append(item)
    assert found == [0, 1, 2]


def test_what_the_generator_raises_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("torn")

    found = []
    with pytest.raises(OSError, match="torn"):
        found.extend(ahead(items()))
    assert found == [1, 2]


def test_who_leaves_early_leaves_nothing_behind():
    ended_on = []

    def items():
        try:
            yield from range(9)
        finally:
            ended_on.append(threading.current_thread())

    running = ahead(items())
    assert next(running) == 0
    running.close()
    assert ended_on == [threading.current_thread()]
    assert not [each for each in threading.enumerate() if each.name.startswith("ahead")]
