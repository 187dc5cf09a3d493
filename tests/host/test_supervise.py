"""A bgworker in its own thread, started again when it fails."""

from __future__ import annotations

import logging
import threading

import pytest

from tsstore.clock import ManualClock, SystemClock
from tsstore.errors import ConfigError, LockedError
from tsstore.host.resolve import Plugin
from tsstore.host.supervise import HEALTHY_AFTER_S, WorkerSupervisor
from tsstore.plugin import FatalPluginError, WorkerContext
from tsstore.testing.model import ModelStore


class Pauses(ManualClock):
    """A clock that remembers for how long it was waited."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.pauses.append(timeout_s)
        return super().wait(event, timeout_s)


def supervise(run, clock=None) -> WorkerSupervisor:
    """A supervisor of a worker whose `run` calls `run(context)`."""

    class Worker:
        def __init__(self, context, config):
            self.context = context

        def run(self):
            run(self.context)

    context = WorkerContext(
        "w", ModelStore(), clock or SystemClock(), logging.getLogger("tsstore.test.worker")
    )
    return WorkerSupervisor(Plugin("bgworker", "w", Worker), context)


def run_to_end(worker: WorkerSupervisor) -> dict:
    worker.start()
    assert worker.join(10)
    return worker.status()


def failing(times: int, error: BaseException, then=None):
    """A `run` that raises so many times and then calls `then`, or stops."""
    left = iter(range(times))

    def run(context: WorkerContext) -> None:
        if next(left, None) is not None:
            raise error
        if then is not None:
            then(context)
        context.stop.set()

    return run


def test_a_worker_that_returns_is_finished() -> None:
    assert run_to_end(supervise(lambda _: None))["state"] == "finished"


def test_a_worker_runs_until_it_is_told_to_stop() -> None:
    running = threading.Event()

    def run(context: WorkerContext) -> None:
        running.set()
        context.stop.wait()

    worker = supervise(run)
    worker.start()
    assert running.wait(10)
    assert worker.status()["state"] == "running"
    worker.request_stop()
    assert worker.join(30)
    assert worker.status()["state"] == "stopped"


@pytest.mark.parametrize("error", [RuntimeError("bad luck"), SystemExit(3)])
def test_a_worker_that_fails_is_started_again(error: BaseException) -> None:
    status = run_to_end(supervise(failing(3, error), Pauses()))
    assert (status["state"], status["restarts"]) == ("stopped", 3)
    assert type(error).__name__ in status["error"]


def test_pauses_grow_to_a_minute() -> None:
    clock = Pauses()
    run_to_end(supervise(failing(9, RuntimeError()), clock))
    for pause, expected in zip(clock.pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert 0.75 * expected <= pause <= 1.25 * expected


def test_pauses_start_anew_after_minutes_of_health() -> None:
    clock = Pauses()
    runs = iter(range(6))

    def run(context: WorkerContext) -> None:
        number = next(runs)
        if number == 5:
            context.stop.set()
            return
        if number == 4:
            clock.advance(HEALTHY_AFTER_S)
        raise RuntimeError

    run_to_end(supervise(run, clock))
    assert clock.pauses[3] >= 0.75 * 8
    assert clock.pauses[4] <= 1.25


@pytest.mark.parametrize(
    ("error", "traced"), [(LockedError("the key is in use"), False), (KeyError("key"), True)]
)
def test_only_of_errors_of_others_the_log_has_a_traceback(error, traced, caplog) -> None:
    run_to_end(supervise(failing(1, error), Pauses()))
    assert f"started again: {type(error).__name__}: {error}" in caplog.text
    assert ("Traceback" in caplog.text) == traced


@pytest.mark.parametrize("error", [FatalPluginError("wrong key"), ConfigError("wrong key")])
def test_a_fatal_error_stays_down_and_says_why(error: Exception, caplog) -> None:
    with caplog.at_level(logging.ERROR):
        status = run_to_end(supervise(failing(1, error), Pauses()))
    assert (status["state"], status["restarts"], status["error"]) == ("failed", 0, "wrong key")
    assert "gave up: wrong key" in caplog.text


def test_a_class_that_cannot_be_built_is_tried_again() -> None:
    clock = Pauses()
    stop = threading.Event()

    def build(context, config):
        if len(clock.pauses) == 2:
            stop.set()
        raise ValueError("no")

    context = WorkerContext("w", ModelStore(), clock, logging.getLogger("tsstore.test"), stop)
    status = run_to_end(WorkerSupervisor(Plugin("bgworker", "w", build), context))
    assert status["restarts"] >= 2


def test_the_status_of_the_run_before_is_forgotten() -> None:
    seen = []

    def run(context: WorkerContext) -> None:
        seen.append(dict(context.status))
        context.status["rows"] = len(seen)
        if len(seen) == 1:
            raise RuntimeError
        context.stop.set()

    status = run_to_end(supervise(run, Pauses()))
    assert seen == [{}, {}]
    assert status["rows"] == 2


def test_a_running_worker_names_its_own_state() -> None:
    told, seen = threading.Event(), threading.Event()

    def run(context: WorkerContext) -> None:
        context.status.update(state="streaming", rows=5)
        told.set()
        seen.wait(10)

    worker = supervise(run)
    worker.start()
    assert told.wait(10)
    status = worker.status()
    seen.set()
    assert (status["state"], status["rows"]) == ("streaming", 5)
    assert worker.join(10)
    assert worker.status()["state"] == "finished"


def test_a_pause_ends_at_once_when_the_server_stops() -> None:
    worker = supervise(failing(1, RuntimeError()))
    worker.start()
    worker.request_stop()
    assert worker.join(0.7)


def test_a_worker_that_never_started_is_joined_at_once() -> None:
    assert supervise(lambda _: None).join(0)
