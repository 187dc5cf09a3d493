from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tsstore.errors import LockedError
from tsstore_massive.streaming.lock import KeyLock

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import signal, sys
from tsstore_massive.streaming.lock import KeyLock
with KeyLock("secret-key-0001", "wss://h/stocks"):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_one_key_streams_once() -> None:
    with (
        KeyLock("secret-key-0001", "wss://h/stocks"),
        pytest.raises(LockedError, match=str(os.getpid())),
        KeyLock("secret-key-0001", "wss://h/stocks"),
    ):
        pass


def test_a_session_that_is_over_has_no_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with KeyLock("secret-key-0001", "wss://h/stocks"):
        assert len(list(tmp_path.glob("*.lock"))) == 1


def test_the_lock_can_be_taken_again_after_its_release() -> None:
    for _ in range(2):
        with KeyLock("secret-key-0001", "wss://h/stocks"):
            pass


def test_other_keys_and_other_servers_are_free() -> None:
    with (
        KeyLock("secret-key-0001", "wss://h/stocks"),
        KeyLock("secret-key-0002", "wss://h/stocks"),
        KeyLock("secret-key-0001", "wss://h/options"),
    ):
        pass


def test_an_account_that_bought_two_streams_twice() -> None:
    locks = [KeyLock("secret-key-0001", "stocks", allowed=2) for _ in range(3)]
    with locks[0]:
        with locks[1], pytest.raises(LockedError, match="allows 2"), locks[2]:
            pass
        with locks[2], pytest.raises(LockedError), KeyLock("secret-key-0001", "stocks"):
            pass


def test_who_streams_is_named(tmp_path: Path) -> None:
    with KeyLock("secret-key-0001", "stocks", allowed=3), contextlib.ExitStack() as held:
        third = KeyLock("secret-key-0001", "stocks", allowed=3)
        held.enter_context(KeyLock("secret-key-0001", "stocks", allowed=3))
        held.enter_context(third)
        for number, path in enumerate(sorted(tmp_path.iterdir())):
            path.write_text(("", "77777777\n", f"{os.getpid()}\n")[number])
        told = rf"processes {os.getpid()} \(this one\), 77777777 and one more stream with"
        with (
            pytest.raises(LockedError, match=told),
            KeyLock("secret-key-0001", "stocks", allowed=3),
        ):
            pass


def test_the_key_is_not_in_the_file_name(tmp_path: Path) -> None:
    with KeyLock("secret-key-0001", "wss://h/stocks"):
        pass
    assert not any("secret" in path.name for path in tmp_path.iterdir())


def test_a_killed_process_lets_go() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(LockedError, match=str(process.pid)),
            KeyLock("secret-key-0001", "wss://h/stocks"),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with KeyLock("secret-key-0001", "wss://h/stocks"):
        pass
