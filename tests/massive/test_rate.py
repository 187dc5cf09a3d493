from __future__ import annotations

import threading
from collections import Counter, deque
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsstore.clock import ManualClock
from tsstore.errors import InvalidArgumentError, StorageError
from tsstore_massive.config import Config
from tsstore_massive.rest import rate
from tsstore_massive.rest.quota import FileQuota
from tsstore_massive.rest.rate import MINUTE_S, RateLimiter, limiter_for, quota_text


def test_requests_within_the_limit_start_at_once():
    clock = ManualClock()
    limiter = RateLimiter(5, 60.0, clock)
    for _ in range(5):
        assert limiter.acquire(threading.Event())
    assert clock.monotonic() == 0


def test_the_request_after_the_limit_waits_until_the_first_is_a_minute_old():
    clock = ManualClock()
    limiter = RateLimiter(5, 60.0, clock)
    for _ in range(6):
        limiter.acquire(threading.Event())
    assert 60 < clock.monotonic() <= 61


def test_a_pause_holds_back_everybody():
    clock = ManualClock()
    limiter = RateLimiter(100, 60.0, clock)
    limiter.pause(7.5)
    limiter.acquire(threading.Event())
    assert clock.monotonic() == pytest.approx(7.5)


def test_a_shorter_pause_does_not_cut_a_longer_one():
    clock = ManualClock()
    limiter = RateLimiter(100, 60.0, clock)
    limiter.pause(9)
    limiter.pause(2)
    limiter.acquire(threading.Event())
    assert clock.monotonic() == pytest.approx(9)


def test_waiting_ends_when_told_to_stop():
    stop = threading.Event()
    stop.set()
    limiter = RateLimiter(1, 60.0, ManualClock())
    assert not limiter.acquire(stop)
    assert not limiter.acquire(stop)


def test_a_limit_below_one_is_refused():
    for limits in ({"per_minute": 0}, {"per_day": 0}, {"by_class": {"forex": 0}}):
        with pytest.raises(InvalidArgumentError, match="at least 1"):
            RateLimiter(**{"per_minute": 9, "minute_s": 60.0, "clock": ManualClock()} | limits)


def test_a_request_counts_from_its_answer_on():
    clock = ManualClock()
    limiter = RateLimiter(1, 60.0, clock)
    ticket = limiter.acquire(threading.Event())
    clock.advance(30)
    limiter.answered(ticket, granted=True)
    limiter.acquire(threading.Event())
    assert 90 < clock.monotonic() <= 91


def test_an_answer_after_more_than_a_minute_counts_too():
    clock = ManualClock()
    limiter = RateLimiter(1, 60.0, clock)
    ticket = limiter.acquire(threading.Event())
    clock.advance(100)
    limiter.answered(ticket, granted=True)
    limiter.acquire(threading.Event())
    assert 160 < clock.monotonic() <= 161


def test_a_day_has_a_limit_of_its_own():
    clock = ManualClock()
    limiter = RateLimiter(5, 60.0, clock, per_day=7)
    for _ in range(8):
        limiter.acquire(threading.Event())
    assert 25 <= clock.monotonic() / 3600 <= 25.5, "a day in New York may have 25 hours"
    assert limiter.describe() | {"learnt": None} == {
        "minute": 1, "per_minute": 5, "day": 1, "per_day": 7, "learnt": None,
    }  # fmt: skip


def test_a_class_may_have_a_limit_of_its_own():
    clock = ManualClock(100 * 10**9)
    limiter = RateLimiter(6000, 60.0, clock, by_class={"indices": 5})
    vendor = Vendor(clock, {"indices": 5})
    for _ in range(11):
        request(limiter, vendor, clock, "indices")
    assert vendor.refused.total() == 0
    began = clock.monotonic()
    assert began > 220
    request(limiter, vendor, clock, "stocks")
    assert clock.monotonic() == pytest.approx(began + 0.05)


class Vendor:
    """Counts in minutes, and allows some classes less than others."""

    def __init__(self, clock: ManualClock, limits: dict[str, int]) -> None:
        self._clock = clock
        self._limits = limits
        self._asked: dict[str, deque[float]] = {}
        self.refused: Counter[str] = Counter()

    def ask(self, asset_class: str) -> bool:
        now = self._clock.monotonic()
        granted = True
        for name in (asset_class, "all"):
            asked = self._asked.setdefault(name, deque())
            while asked and asked[0] <= now - 60:
                asked.popleft()
            granted &= len(asked) < self._limits.get(name, 10**6)
        if not granted:
            self.refused[asset_class] += 1
            return False
        for name in (asset_class, "all"):
            self._asked[name].append(now)
        return True


def request(limiter: RateLimiter, vendor: Vendor, clock: ManualClock, asset_class: str) -> None:
    while True:
        ticket = limiter.acquire(threading.Event(), asset_class)
        clock.advance(0.05)
        granted = vendor.ask(asset_class)
        limiter.answered(ticket, granted=granted)
        if granted:
            return
        limiter.refused(ticket, 60 - clock.monotonic() % 60, for_sure=False)


def test_a_class_that_the_plan_allows_less_is_slowed_down_and_no_other():
    clock = ManualClock(100 * 10**9)
    limiter = RateLimiter(6000, 60.0, clock)
    vendor = Vendor(clock, {"indices": 5})
    for _ in range(40):
        request(limiter, vendor, clock, "indices")
    assert vendor.refused["indices"] <= 4
    assert limiter.describe()["learnt"] == {"indices": 5}
    text = quota_text(limiter.describe() | {"per_day": 50_000})
    assert text.endswith(" of 50,000 in 24 hours; the vendor allows 5 a minute for indices")
    began = clock.monotonic()
    for _ in range(300):
        request(limiter, vendor, clock, "stocks")
    assert clock.monotonic() - began == pytest.approx(300 * 0.05)


def test_a_limit_of_the_whole_key_is_learnt_as_well():
    clock = ManualClock(100 * 10**9)
    limiter = RateLimiter(6000, 60.0, clock)
    vendor = Vendor(clock, {"all": 5})
    for _ in range(10):
        for asset_class in ("stocks", "reference"):
            request(limiter, vendor, clock, asset_class)
    before = vendor.refused.total()
    assert before <= 8
    assert limiter.describe()["learnt"]["all"] == 5
    for _ in range(5):
        for asset_class in ("stocks", "reference"):
            request(limiter, vendor, clock, asset_class)
    assert vendor.refused.total() == before


def test_what_was_learnt_is_doubted_after_a_while():
    clock = ManualClock(100 * 10**9)
    limiter = RateLimiter(6000, 60.0, clock)
    vendor = Vendor(clock, {"options": 5})
    for _ in range(15):
        request(limiter, vendor, clock, "options")
    clock.advance(3600)
    assert limiter.describe()["learnt"] == {}


def test_one_refusal_teaches_nothing():
    clock = ManualClock(100 * 10**9)
    limiter = RateLimiter(6000, 60.0, clock)
    tickets = [limiter.acquire(threading.Event()) for _ in range(4)]
    for ticket in tickets:
        limiter.answered(ticket, granted=False)
        limiter.refused(ticket, 20, for_sure=False)
    assert limiter.describe()["learnt"] == {}
    limiter.acquire(threading.Event(), "crypto")
    assert clock.monotonic() == 100, "the others go on"
    limiter.acquire(threading.Event())
    assert clock.monotonic() == pytest.approx(120)


def test_a_vendor_who_says_when_is_waited_for_and_nothing_is_learnt():
    clock = ManualClock(100 * 10**9)
    limiter = RateLimiter(6000, 60.0, clock)
    for _ in range(5):
        ticket = limiter.acquire(threading.Event())
        limiter.refused(ticket, 7, for_sure=True)
    assert limiter.describe()["learnt"] == {}
    limiter.acquire(threading.Event())
    assert clock.monotonic() == pytest.approx(135, abs=0.1)


def config(**options: Any) -> Config:
    return msgspec.convert({"base_url": "https://api.example"} | options, Config)


def test_the_quota_of_a_key_is_kept_in_the_state_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    clock = ManualClock()
    limiter_for(config(), "secret-key-0001", clock).acquire(threading.Event())
    [path] = (tmp_path / "tsstore").iterdir()
    assert "secret" not in path.name
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert limiter_for(config(), "secret-key-0001", clock).describe()["minute"] == 1
    assert limiter_for(config(), "secret-key-0002", clock).describe()["minute"] == 0


def test_the_vendor_counts_a_key_under_all_of_its_names_together(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    clock = ManualClock()

    def used(url: str) -> int:
        return limiter_for(config(base_url=url), "key", clock).describe()["minute"]

    limiter_for(config(base_url="https://api.massive.com"), "key", clock).acquire(threading.Event())
    assert used("https://API.massive.com:443") == used("https://api.polygon.io/") == 1
    assert used("https://massive.com.example") == used("https://example.com") == 0


def test_the_quota_of_a_server_on_this_machine_is_kept_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    local = {"base_url": "http://127.0.0.1:1"}
    limiter_for(config(**local), "k", ManualClock()).acquire(threading.Event())
    assert list(tmp_path.iterdir()) == []
    told = config(quota_directory=str(tmp_path / "here"), **local)
    limiter_for(told, "k", ManualClock()).acquire(threading.Event())
    assert limiter_for(told, "k", ManualClock()).describe()["minute"] == 1


@pytest.mark.parametrize("told", [{}, {"quota_directory": "/dev"}])
def test_on_a_full_disk_the_quota_is_kept_to_by_this_process(monkeypatch, caplog, told):
    monkeypatch.setattr(rate, "quota_path", lambda *_: Path("/dev/full"))
    limiter = limiter_for(config(**told), "k", ManualClock())
    assert limiter.acquire(threading.Event()) is not None
    assert limiter.describe()["minute"] == 1
    assert "No space left on device" in caplog.text
    assert "kept to by this process alone" in caplog.text


def test_a_disk_that_refuses_later_ends_no_status():
    quota = FileQuota(Path("/dev/full"), ManualClock())
    limiter = RateLimiter(5, MINUTE_S, ManualClock(), quota=quota)
    assert limiter.describe()["per_minute"] == 5
    with pytest.raises(StorageError, match="make room"):
        limiter.acquire(threading.Event())


def test_a_folder_that_cannot_be_used_is_told(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert limiter_for(config(), "k", ManualClock()).describe()["minute"] == 0
    assert "name a folder in quota_directory" in caplog.text
    with pytest.raises(StorageError, match="quota_directory"):
        limiter_for(config(quota_directory=str(tmp_path / "file")), "k", ManualClock())
