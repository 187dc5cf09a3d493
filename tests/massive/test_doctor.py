"""`massive_doctor` against the simulator with its faults: what it finds, and what it advises."""

from __future__ import annotations

import json
import re
import socket
import threading
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import tsstore
from tests.massive.http_server import Reply, Request, Server
from tests.massive.socket_server import SocketServer
from tsstore.clock import ManualClock, SystemClock
from tsstore_massive.config import Config
from tsstore_massive.connections import quota_place
from tsstore_massive.doctor import cli, machine, stream
from tsstore_massive.doctor.probe import Probe
from tsstore_massive.doctor.questions import questions
from tsstore_massive.doctor.service import requests_needed
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive.sessions import MarketCalendar, day_of
from tsstore_massive.streaming.lock import KeyLock
from tsstore_massive.symbols import MARKETS
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.othermarkets import other_markets
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "secret-key-0001"
#: Asked for nothing so far, whatever other tests did.
FRESH_KEY = "secret-key-0002"
Findings = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def vendor() -> Iterator[tuple[Simulator, str]]:
    others = other_markets(1).values()
    simulator = Simulator(
        GeneratedMarket(1, ["AAPL"]), others=others, speed=1, keys=[KEY, FRESH_KEY]
    )
    with simulator.in_background() as url:
        yield simulator, url


@pytest.fixture
def faults(vendor: tuple[Simulator, str]) -> Iterator[Callable[..., None]]:
    """Switches faults on, for one test."""
    on = vendor[0].faults

    def switch(*texts: str) -> None:
        for text in texts:
            on.set_text(text)

    yield switch
    for name in on.active():
        on.clear(name)


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # locks of our own
    monkeypatch.setattr(stream, "_HANDSHAKE_S", 0.5)
    monkeypatch.setattr(stream, "_ACK_S", 0.1)


class Ran:
    """What a run said."""

    def __init__(self, output: str, told: str, code: int) -> None:
        self.code, self.output, self.told = code, output, told
        self.list: list[dict[str, str]] = json.loads(output)
        self.findings: Findings = {each["check"]: each for each in self.list}

    def verdict(self, check: str) -> str:
        return self.findings[check]["verdict"]

    def found(self, check: str) -> str:
        return self.findings[check]["found"]

    def advice(self, check: str) -> str:
        return self.findings[check]["advice"]


@pytest.fixture
def run(vendor: tuple[Simulator, str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs the command with `--json` and a mkts.yml."""

    def begin(
        *arguments: str, key: str | None = KEY, yaml: str | None = None, **options: Any
    ) -> Ran:
        url = vendor[1]
        options = {"base_url": url, "ws_server": url.replace("http", "ws"), **options}
        lines = "\n".join(f"      {name}: {json.dumps(value)}" for name, value in options.items())
        text = yaml or (
            f"root_directory: {tmp_path / 'data'}\ntimezone: America/New_York\nlisten_port: 5993\n"
            f"bgworkers:\n  - module: massive.so\n    name: massive\n    config:\n{lines}\n"
        )
        (tmp_path / "mkts.yml").write_text(text)
        flags = ["--json", "--no-files", "--listen", "3", "--config", str(tmp_path / "mkts.yml")]
        environment = {"MASSIVE_API_KEY": key}
        done = CliRunner().invoke(cli.command, [*flags, *arguments], env=environment)
        assert isinstance(done.exception, SystemExit | None), done.exception
        assert key is None or key not in done.output
        return Ran(done.stdout, done.stderr, done.exit_code)

    return begin


def test_all_is_well(run, vendor):
    before = sum(vendor[0].state()["replies"].values())
    ran = run(data_types=["bars", "trades", "quotes"])
    assert {name for name in ran.findings if ran.verdict(name) != "OK"} == set()
    assert ran.code == 0
    assert set(ran.findings) == {
        "options", "disk space", "durable writes", "store", "key present",
        "REST", "key accepted", "clock", "stocks bars", "stocks trades", "stocks quotes",
        "stocks history",
        "socket", "socket key", "socket bars", "socket trades", "socket quotes", "socket data",
        "socket second_bars", "socket luld", "socket imbalances", "socket fair_values",
    }  # fmt: skip
    assert "AAPL" in ran.found("stocks bars")
    assert "20 years" in ran.found("stocks history")
    assert "it ends a worker that streams with this key" in ran.told
    # What was announced is what was asked at most.
    announced = int(re.search(r"(\d+) requests", ran.told)[1])
    assert 0 < sum(vendor[0].state()["replies"].values()) - before <= announced


def test_every_market_can_be_asked_for(run, vendor):
    ran = run(*(f"--market={market}" for market in MARKETS), "--no-socket")
    asked = [each for each in ran.list if each["check"].split()[0] in MARKETS]
    assert {each["verdict"] for each in asked} == {"OK"}, asked
    assert {each["check"] for each in asked} >= {f"{market} bars" for market in MARKETS}
    url = vendor[1].replace("http", "ws")
    ran = run(ws_server=f"{url}/crypto", data_types=["bars", "trades"])
    assert {name for name in ran.findings if ran.verdict(name) != "OK"} == set()
    assert "in the plan (XA)" in ran.found("socket bars")


def test_the_socket_is_that_of_the_market_that_was_asked_for(run):
    ran = run("--market", "crypto", data_types=["trades", "luld"], symbols=["AAPL"])
    assert ("/crypto;" in ran.told, "/stocks" in ran.told) == (True, False)
    assert "in the plan (XT)" in ran.found("socket trades")
    assert "from $MASSIVE_API_KEY" in ran.found("key present")
    ran = run("--no-socket", api_key="${MASSIVE_API_KEY}")
    assert "from $MASSIVE_API_KEY" in ran.found("key present")
    ran = run("--no-socket", api_key=KEY, key=None)
    assert "from option api_key" in ran.found("key present")


def test_each_connection_is_looked_at_by_itself(run, vendor):
    url = vendor[1].replace("http", "ws")
    second = {"ws_server": url, "api_key": "another-key-0002"}
    connections = {
        "stocks": {"ws_server": url, "api_key": KEY},
        "coins": {"market": "crypto", "ws_server": url, "api_key": KEY},
        "more": second,
        "off": {"enabled": False},
    }
    ran = run(connections=connections, key=None)
    assert ran.verdict("stocks: stocks bars") == ran.verdict("coins: crypto trades") == "OK"
    assert "in the plan (XA)" in ran.found("coins: socket bars")
    assert "Unknown API Key" in ran.found("more: key accepted")
    assert ran.verdict("off") == "SKIP"
    assert ran.verdict("connections") == "OK"
    assert "another-key" not in ran.output
    connections["more"] = connections["stocks"]
    ran = run("--no-socket", connections=connections, key=None)
    assert ran.verdict("connections") == "FAIL"
    assert "more: stocks bars" not in ran.findings  # what is known already is not asked again


BARS = "forbidden_paths=/v2/aggs"
FAILS = [
    # faults, check, verdict, what is found, what to do
    (["wrong_key"], "key accepted", "FAIL", "refuses it: Unknown API Key", "MASSIVE_API_KEY"),
    (["wrong_key"], "socket key", "FAIL", "authentication failed", "ws_server is that of the plan"),
    (["no_plan"], "socket key", "FAIL", "plan doesn't include websocket", "plan has streams"),
    (["mute_auth"], "socket key", "FAIL", "says nothing to it within 0.5 s", "try again later"),
    (["refuse=503"], "socket", "FAIL", "HTTP 503", "network, proxies and ws_server"),
    (["drop_auth"], "socket", "FAIL", "ended the conversation", "try again later"),
    (["not_authorized=AM"], "socket bars", "FAIL", "plan (AM): not auth", "out of data_types"),
    (["not_authorized=Q"], "socket quotes", "OK", "not among the data_types", ""),
    (["no_acks"], "socket bars", "WARN", "no answer to a subscription to AM", "try again later"),
    (["too_many"], "REST", "WARN", "asks to wait (429)", "requests_per_minute"),
    (["rate=3"], "requests", "WARN", "too many (429)", "requests_per_minute"),
    (["server_error"], "REST", "FAIL", "fails (502)", "try again later"),
    (["not_json"], "REST", "FAIL", "not JSON", "check base_url"),
    (["drop_request"], "REST", "FAIL", "cannot be reached", "network and base_url"),
    (["forbidden", BARS], "stocks bars", "FAIL", "not entitled", "take it out"),
    (["forbidden", BARS], "stocks history", "WARN", "2 years", "query_start"),
    (["forbidden", "forbidden_paths"], "stocks quotes", "OK", "not among the data_types", ""),
    (["clock=3600"], "clock", "FAIL", "s behind the service", "chrony"),
    (["clock=8"], "clock", "WARN", "behind the service", "chrony"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("on", "check", "verdict", "found", "advice"), FAILS, ids=[f"{f[0][0]}-{f[1]}" for f in FAILS]
)
def test_what_is_wrong_is_named_with_what_to_do(run, faults, on, check, verdict, found, advice):
    faults(*on)
    at_socket = check.startswith("socket")
    key = FRESH_KEY if on == ["rate=3"] else KEY
    ran = run("--listen", "0", *([] if at_socket else ["--no-socket"]), key=key)
    assert ran.verdict(check) == verdict
    assert found in ran.found(check)
    assert advice in ran.advice(check)
    assert ran.code == ("FAIL" in {each["verdict"] for each in ran.list})


def test_a_plan_without_today_is_asked_for_yesterday(run, faults):
    today = day_of(SystemClock().now_ns())
    over = MarketCalendar().days(today - timedelta(days=14), today - timedelta(days=1))[-1]
    faults("forbidden=today")
    faults(f"forbidden_paths=/v2/aggs/ticker/AAPL/range/1/minute/{over}/{today}")
    ran = run("--no-socket")
    assert ran.verdict("stocks bars") == "OK"
    assert "today's not before the day is over" in ran.found("stocks bars")


def test_a_plan_without_the_day_that_is_asked_for_has_history_all_the_same(run, faults):
    faults("forbidden=today", "forbidden_paths=/v2/aggs/ticker/AAPL/range/1/minute")
    ran = run("--no-socket")
    assert ran.verdict("stocks bars") == "WARN"
    assert "not before the day is over" in ran.found("stocks bars")
    assert "history works" in ran.advice("stocks bars")
    assert ran.code == 0


def test_a_wrong_key_is_to_be_put_right_where_it_is_from(run, faults, tmp_path):
    file = tmp_path / "key"
    file.write_text("another-key")
    file.chmod(0o600)
    faults("wrong_key")
    assert "into $MASSIVE_API_KEY" in run("--no-socket").advice("key accepted")
    ran = run("--no-socket", api_key="another-key")
    assert "into option api_key" in ran.advice("key accepted")
    ran = run("--no-socket", api_key_file=str(file))
    assert f"into {file}" in ran.advice("key accepted")


def test_nothing_is_asked_with_a_key_that_cannot_be_one(run, vendor):
    before = sum(vendor[0].state()["replies"].values())
    ran = run(key=None)
    assert ran.verdict("key present") == "FAIL"
    assert "MASSIVE_API_KEY" in ran.advice("key present")
    assert run(key="a key").verdict("key present") == "FAIL"
    assert sum(vendor[0].state()["replies"].values()) == before
    assert ran.code == 1


def test_a_port_where_nobody_listens(run):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        ran = run(base_url=f"http://127.0.0.1:{port}", ws_server=f"ws://127.0.0.1:{port}")
    assert ran.verdict("REST") == ran.verdict("socket") == "FAIL"
    assert f"127.0.0.1:{port}" in ran.found("REST")
    assert f"127.0.0.1:{port}" in ran.found("socket")


def test_a_redirect_is_told_and_the_key_not_sent_there(run):
    told = []
    with (
        SocketServer(lambda peer: told.append(peer.receive())) as elsewhere,
        SocketServer(redirect=elsewhere.url) as server,
    ):
        ran = run(ws_server=server.url)
    assert told == []
    assert ran.verdict("socket") == "FAIL"
    assert f"redirects to {elsewhere.url.removeprefix('ws://')}" in ran.found("socket")


def test_a_running_worker_is_not_evicted(run, vendor):
    socket = vendor[1].replace("http", "ws") + "/stocks"
    with KeyLock(KEY, quota_place(socket)):
        ran = run()
    assert ran.verdict("socket") == "SKIP"
    assert "streams with this API key" in ran.found("socket")
    assert ran.code == 0


@pytest.mark.parametrize(
    ("is_open", "verdict", "told"), [(True, "WARN", "--listen 70"), (False, "OK", "is closed")]
)
def test_silence_is_a_warning_only_while_the_market_is_open(vendor, faults, is_open, verdict, told):
    faults("mute")
    url = vendor[1].replace("http", "ws") + "/stocks"
    target = stream.Target(url, "stocks", "AAPL", ["bars"], is_open=is_open, listen_s=0.1)
    last = list(stream.check_stream(target, KEY, SystemClock()))[-1]
    assert (last.check, last.verdict.value) == ("socket data", verdict)
    assert told in last.found + last.advice


def test_a_wrong_mkts_yml_is_told_line_by_line(run):
    ran = run(yaml="root_directory: data\nlisten_port: many\ntimezone: Mars/Olympus\n")
    assert [each["check"] for each in ran.list] == ["options"] * len(ran.list)
    assert {each["verdict"] for each in ran.list} == {"FAIL"}
    assert any("listen_port" in each["found"] for each in ran.list)


def test_the_store_is_opened_and_read(run, tmp_path):
    with tsstore.open(tmp_path / "data", timezone="America/New_York") as store:
        store.write("AAPL/1Min/OHLCV", {"Epoch": ["2024-01-02 14:30"], "Close": [1.0]})
        assert "1 buckets, 1 rows" in run("--no-socket").found("store")  # while it is written to
    wal = next((tmp_path / "data" / "wal").glob("*.wal"), None)
    segments = [*(tmp_path / "data").rglob("*.seg")]
    for path in [*segments, *([wal] if wal else [])]:
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 0xFF
        path.write_bytes(body)
    ran = run("--no-socket")
    assert ran.verdict("store") == "FAIL"
    assert "is damaged" in ran.found("store")


def test_a_store_of_another_zone_is_named(run, tmp_path):
    with tsstore.open(tmp_path / "data", timezone="UTC") as store:
        store.write("AAPL/1D/OHLCV", {"Epoch": ["2024-01-02"], "Close": [1.0]})
    ran = run("--no-socket")
    assert ran.verdict("store") == "FAIL"
    assert "UTC" in ran.found("store")


def test_little_room_and_slow_or_forbidden_disks(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_FREE_WARN", 1 << 60)
    assert machine.check_space(tmp_path / "not" / "yet").verdict.value == "WARN"
    monkeypatch.setattr(machine, "_FREE_FAIL", 1 << 60)
    assert machine.check_space(tmp_path).verdict.value == "FAIL"
    monkeypatch.setattr(machine, "_WRITE_WARN_S", 0.0)
    assert "wal_sync" in machine.check_speed(tmp_path / "data", SystemClock()).advice
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    monkeypatch.setattr(machine, "_beside", lambda _: tmp_path / "gone")
    assert machine.check_speed(tmp_path, SystemClock()).verdict.value == "FAIL"


def test_a_key_that_others_can_read(tmp_path, monkeypatch):
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o644)
    finding, key = machine.check_key(Config(api_key_file=str(path)))
    assert (finding.verdict.value, finding.advice, key) == ("WARN", f"chmod 600 {path}", KEY)
    path.chmod(0o600)
    assert machine.check_key(Config(api_key_file=str(path)))[0].verdict.value == "OK"


def test_the_table_shows_what_is_wrong_and_what_to_do(tmp_path):
    run_args = ["--no-files", "--no-socket", "--config", str(tmp_path / "mkts.yml")]
    (tmp_path / "mkts.yml").write_text(f"root_directory: {tmp_path}\nlisten_port: many\n")
    done = CliRunner().invoke(cli.command, run_args)
    assert done.exit_code == 1
    assert "FAIL" in done.stdout
    assert "what to do" in done.stdout
    assert "listen_port" in done.stdout


def test_questions_of_all_markets_are_few():
    day = date(2026, 11, 20)
    assert requests_needed(MARKETS, day) <= 25
    paths = {question.path for market in MARKETS for question in questions(market, day)}
    assert "/v3/quotes/C:EUR-USD" in paths
    assert "/v2/aggs/ticker/C:EURUSD/range/1/minute/2026-11-20/2026-11-20" in paths
    assert not any("I:SPX" in path for path in paths if path.startswith("/v3/"))


def test_a_question_counts_from_its_answer_and_a_429_holds_back_everybody():
    clock, stop = ManualClock(10**18), threading.Event()
    limiter = RateLimiter(5, 60.0, clock)
    replies = iter([Reply(b'{"status":"OK"}'), Reply(b"", 429)])

    def vendor(_: Request) -> Reply:
        clock.advance(50)
        return next(replies)

    with (
        Server(vendor) as server,
        Probe(server.url, KEY, clock=clock, limiter=limiter, stop=stop) as probe,
    ):
        probe.get("/v1/marketstatus/now")
        clock.advance(30)
        assert limiter.describe()["minute"] == 1, "it was sent 80 s ago and answered 30 s ago"
        assert probe.get("/v1/marketstatus/now").status == 429
    before = clock.monotonic()
    limiter.acquire(stop)
    assert clock.monotonic() > before
