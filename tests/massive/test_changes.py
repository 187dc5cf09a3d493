from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore_massive.changes import (
    Changes,
    read_changes,
    read_watched,
    write_changes,
    write_watched,
)

if TYPE_CHECKING:
    import tsstore

NOW = 1_717_421_400_000_000_000


def test_nothing_was_asked_for_and_nothing_is_watched(store: tsstore.Store) -> None:
    assert read_changes(store) == Changes()
    assert read_watched(store) == {}


def test_the_last_word_on_each_symbol_counts(store: tsstore.Store) -> None:
    write_changes(store, ["AAPL", "MSFT", "SPY"], 1, connection="", now_ns=NOW)
    write_changes(store, ["AAPL"], -1, connection="", now_ns=NOW + 1)
    write_changes(store, ["SPY"], 0, connection="", now_ns=NOW + 2)
    write_changes(store, ["AAPL"], 1, connection="other", now_ns=NOW + 3)
    changes = read_changes(store)
    assert changes.added == {("", "MSFT"), ("other", "AAPL")}
    assert changes.removed == {("", "AAPL")}


def test_a_clock_put_back_does_not_give_an_older_command_the_last_word(
    store: tsstore.Store,
) -> None:
    write_changes(store, ["AAPL"], 1, connection="", now_ns=NOW)
    write_changes(store, ["AAPL"], -1, connection="", now_ns=NOW - 3600)
    assert read_changes(store) == Changes(removed=frozenset({("", "AAPL")}))


def test_what_is_watched_is_written_as_a_whole(store: tsstore.Store) -> None:
    write_watched(store, {"a": {"SPY", "AAPL"}, "b": None}, now_ns=NOW)
    assert read_watched(store) == {"a": ["AAPL", "SPY"], "b": ["*"]}
    write_watched(store, {"a": {"QQQ"}}, now_ns=NOW + 1)
    assert read_watched(store) == {"a": ["QQQ"]}
    write_watched(store, {}, now_ns=NOW + 2)
    assert read_watched(store) == {}
