"""`tsstore demo`: the vendor played on this machine, a server, and live data on the screen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import httpx
import numpy as np
from rich.console import Console

import tsstore
from tsstore.cli.demo_setup import (
    Process,
    check_alike,
    free_port,
    start_server,
    start_simulator,
    with_values,
)
from tsstore.cli.demo_view import Snapshot, SymbolView, view_for
from tsstore.cli.init import example
from tsstore.cli.output import times_text
from tsstore.cli.paths import FilledPath
from tsstore.clock import SystemClock
from tsstore.errors import (
    ConnectionFailedError,
    InvalidArgumentError,
    NotFoundError,
    TsStoreError,
)
from tsstore.signals import Signals
from tsstore.times import format_ns

if TYPE_CHECKING:
    from tsstore.api import StoreApi
    from tsstore.clock import Clock

#: The vendor lets one connection in per key, so each demonstration has a key of its own.
KEY = f"demo-{os.getpid()}"
GROUPS = ("1Min/OHLCV", "1Sec/TRADE", "1Min/QUOTE")
_WORKER = "massive"
_SYMBOLS_SHOWN = 8
_SYMBOLS_ASKED = 24
_HISTORY_DAYS = 7
_START_TIMEOUT_S = 30.0
_PERIOD_S = 1.0
_HEADER = "# Written by `tsstore demo` each time it runs; the simulator listens elsewhere then.\n\n"


@click.command("demo")
@click.option(
    "--data",
    type=FilledPath(exists=True, file_okay=False, path_type=Path),
    help="Play files in the vendor's flat-file layout instead of a generated market.",
)
@click.option(
    "--dir",
    "directory",
    default="demo",
    show_default=True,
    type=FilledPath(file_okay=False, path_type=Path),
    help="Where configuration, data and logs go.",
)
@click.option("--symbols", help="Comma-separated; by default the first few there are.")
@click.option("--speed", help="How many times faster than life, or max. [default: 1; files: 60]")
@click.option("--seconds", type=float, help="End by itself after so many seconds.")
def command(
    data: Path | None,
    directory: Path,
    symbols: str | None,
    speed: str | None,
    seconds: float | None,
) -> None:
    """Run the Massive simulator and a server with the Massive worker, and watch.

    The worker fetches some days of history by REST, then streams bars, trades and quotes. Ctrl-C
    stops everything; the data stay, and a second run goes on where the first ended.
    """
    if seconds is not None and not seconds >= 0:
        raise InvalidArgumentError(f"--seconds {seconds:g} is no length of time; write 60")
    wanted = None if symbols is None else _split(symbols)
    directory.mkdir(parents=True, exist_ok=True)
    clock = SystemClock()
    speed = speed or ("60" if data else "1")
    options = ["--key", KEY, "--speed", speed]
    if data is not None:
        options += ["--data", str(data), "--date", f"{_first_day(data, 'trades_v1')}T09:30"]
    with (
        Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals,
        # Before anything is written: mkts.yml and the logs are those of whoever has the data.
        tsstore.open(directory / "data") as held,
    ):
        simulator, vendor_url = start_simulator(options, directory / "simulator.log")
        with simulator:
            chosen = _symbols(vendor_url, wanted, files=data is not None)
            keys = {f"{_bucket(symbol)}/{group}" for symbol in chosen for group in GROUPS}
            check_alike(held, keys, synthetic=data is None)
            url = f"http://127.0.0.1:{free_port()}"
            config = directory / "mkts.yml"
            text = with_values(example(), _values(directory, url, vendor_url, chosen, data))
            config.write_text(_HEADER + text, encoding="utf-8")
            held.close()
            with (
                # Nobody else uses the key, so its lock need not stay on this machine.
                TemporaryDirectory(prefix="tsstore-demo-") as runtime,
                start_server(config, directory / "server.log", runtime) as server,
                closing(_Watcher(url, vendor_url, speed, chosen, clock)) as watcher,
            ):
                end_s = clock.monotonic() + seconds if seconds is not None else None
                watcher.wait_until_up(server, signals)
                data_at = directory / "data"
                click.echo(f"server {url}  vendor {vendor_url} (simulated)  data {data_at}")
                _watch(watcher, [simulator, server], clock, signals, end_s)
    click.echo(_what_next(directory, chosen))


def _bucket(symbol: str) -> str:
    """The bucket's name for a symbol; the vendor writes some classes of shares as BRK/B."""
    return symbol.replace("/", ".")


def _split(symbols: str) -> list[str]:
    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise InvalidArgumentError(f"--symbols {symbols!r} names no symbol; write AAPL,MSFT")
    return names


def _symbols(vendor_url: str, wanted: list[str] | None, *, files: bool) -> list[str]:
    """The symbols to stream: those asked for, or the busiest of the day that is played."""
    if wanted is not None:
        return wanted
    day = _market_time(vendor_url)[1][:10]
    names = _busiest(vendor_url, date.fromisoformat(day))
    names = names or [str(row["ticker"]) for row in _results(vendor_url, "/v3/reference/tickers")]
    if not names:
        raise NotFoundError("the simulator has no symbols; is --data in the vendor's layout?")
    if files:
        # Files may hold bars of many symbols and ticks of few; those are what one wants to see.
        names = sorted(names[:_SYMBOLS_ASKED], key=lambda name: -_kinds(vendor_url, name, day))
    return names[:_SYMBOLS_SHOWN]


def _busiest(vendor_url: str, day: date) -> list[str]:
    """Symbols by volume on the newest day that has traded, the day itself or one before."""
    for back in range(_HISTORY_DAYS):
        path = f"/v2/aggs/grouped/locale/us/market/stocks/{day - timedelta(days=back)}"
        bars = sorted(_results(vendor_url, path), key=lambda bar: -bar["v"])
        if bars:
            return [str(bar["T"]) for bar in bars]
    return []


def _kinds(vendor_url: str, symbol: str, day: str) -> int:
    """How many kinds of ticks a symbol has on a day."""
    question = f"{symbol}?timestamp={day}&limit=1"
    return sum(
        bool(_results(vendor_url, f"/v3/{kind}/{question}")) for kind in ("trades", "quotes")
    )


def _results(vendor_url: str, path: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {KEY}"}
    rows: list[dict[str, Any]] = _get(vendor_url + path, headers=headers).get("results", [])
    return rows


def _market_time(vendor_url: str) -> tuple[int, str]:
    """The instant in the market that is played, and how New York writes it."""
    ns = int(_get(f"{vendor_url}/_simulator/state")["now_ns"])
    text = times_text(np.array([ns // 10**9 * 10**9]), "America/New_York")[0]
    return ns, text[:19].replace("T", " ")


def _get(url: str, **options: Any) -> dict[str, Any]:
    # A proxy of the environment is for the world outside.
    with httpx.Client(trust_env=False, timeout=10) as client:
        try:
            answer: dict[str, Any] = client.get(url, **options).raise_for_status().json()
        except httpx.HTTPError as error:
            raise ConnectionFailedError(f"{url} does not answer: {error}") from None
    return answer


def _values(
    directory: Path, url: str, vendor_url: str, symbols: list[str], data: Path | None
) -> dict[str, str]:
    """What the demonstration sets in mkts.yml.example; files are rows of a real market."""
    return {
        **({} if data is not None else {"data_source": "synthetic"}),
        "root_directory": json.dumps(str(directory / "data")),
        "listen_port": url.rpartition(":")[2],
        "api_key": KEY,
        "base_url": vendor_url,
        "ws_server": vendor_url.replace("http", "ws", 1),
        "symbols": json.dumps(symbols),
        "query_start": json.dumps({"1Min": _history_start(data)}),
    }


def _history_start(data: Path | None) -> str:
    """Where the history begins: with the files, or a week ago."""
    if data is not None:
        return _first_day(data, "minute_aggs_v1")
    today = date.fromisoformat(format_ns(SystemClock().now_ns())[:10])
    return str(today - timedelta(days=_HISTORY_DAYS))


def _first_day(data: Path, dataset: str) -> str:
    """The first day of a kind of files, or of any kind."""
    for pattern in (f"{dataset}/*/*/*.csv*", "*.csv*"):
        days = [path.name[:10] for path in data.rglob(pattern)]
        if days:
            return min(days)
    raise InvalidArgumentError(f"{data} holds no .csv.gz files in the vendor's layout")


class _Watcher:
    """Looks at the server from outside, as any client could, and at the simulator's clock."""

    def __init__(
        self, url: str, vendor_url: str, speed: str, symbols: list[str], clock: Clock
    ) -> None:
        self._url = url
        self._vendor_url = vendor_url
        self._speed = float(speed) if speed != "max" else None
        self._symbols = symbols
        self._clock = clock
        self._began = self._looked = clock.monotonic()
        self._rows: dict[str, tuple[int, int, int]] = {}
        self._store: StoreApi | None = None

    def wait_until_up(self, server: Process, signals: Signals) -> None:
        """Return once the server answers, or it is time to stop."""
        deadline = self._clock.monotonic() + _START_TIMEOUT_S
        while not signals.stop:
            server.check()
            try:
                self._store = tsstore.connect(self._url)
                return
            except TsStoreError:
                if self._clock.monotonic() > deadline:
                    raise server.failure("does not answer") from None
                signals.wait(self._clock, 0.1)

    def close(self) -> None:
        """Let go of the server."""
        if self._store is not None:
            self._store.close()

    def look(self) -> Snapshot:
        """What there is to see now."""
        now = self._clock.monotonic()
        passed = max(now - self._looked, 1e-3)
        status = _get(f"{self._url}/heartbeat")
        worker = status.get("workers", {}).get(_WORKER, {})
        prices = worker.get("last", {})
        views = {}
        for name in self._symbols:
            rows = self._rows_of(_bucket(name))
            before = self._rows.get(name, rows)
            # The store counts replaced rows twice until it merges them, so counts can shrink.
            added = max(0, sum(rows) - sum(before))
            views[name] = SymbolView(rows, added / passed, prices.get(name))
            self._rows[name] = rows
        self._looked = now
        market_ns, market = _market_time(self._vendor_url)
        lag_s = self._lag_s(worker.get("lag_ms"), market_ns)
        return Snapshot(now - self._began, market, lag_s, worker, views)

    def _lag_s(self, lag_ms: float | None, market_ns: int) -> float | None:
        """The worker's lag without the distance of the played market from the present."""
        if lag_ms is None or self._speed is None:
            return None
        distance_s = (self._clock.now_ns() - market_ns) / 1e9
        return max(0.0, lag_ms / 1000 - distance_s) / self._speed

    def _rows_of(self, symbol: str) -> tuple[int, int, int]:
        bars, trades, quotes = (self._count(f"{symbol}/{group}") for group in GROUPS)
        return bars, trades, quotes

    def _count(self, key: str) -> int:
        try:
            return self._store.info(key).rows if self._store is not None else 0
        except NotFoundError:
            return 0


def _watch(
    watcher: _Watcher,
    processes: list[Process],
    clock: Clock,
    signals: Signals,
    end_s: float | None,
) -> None:
    """Show a snapshot each second until it is time to stop."""
    view = view_for(Console())
    try:
        while not signals.stop and (end_s is None or clock.monotonic() < end_s):
            begun = clock.monotonic()
            for process in processes:
                process.check()
            view.show(watcher.look())
            signals.wait(clock, max(0.0, begun + _PERIOD_S - clock.monotonic()))
    finally:
        view.close()


def _what_next(directory: Path, symbols: list[str]) -> str:
    key = f"{symbols[0]}/{GROUPS[0]}"
    data = directory / "data"
    # Whoever came by `make run` has not activated the environment: commands get their folder.
    home = Path(sys.executable).parent
    folder = "" if shutil.which("tsstore") else f"{_short(home)}/"
    return (
        f"\nStopped. The data are in {data}, logs and mkts.yml in {directory}. What to type next:\n"
        f"  {folder}tsstore ls --dir {data} --format table\n"
        f"  {folder}tsstore query {key} --dir {data} --limit 5 --tz America/New_York\n"
        f'  {folder}python -c \'import tsstore; print(tsstore.open("{data}", read_only=True)'
        f'.read("{key}", limit=5).to_pandas())\'\n'
        f"and with a key of Massive.com, real rows into a directory of their own:\n"
        f"  MASSIVE_API_KEY=... {folder}massive_backfiller -bars -from 1Min=2024-01-02 "
        f"-symbols AAPL -dir data"
    )


def _short(path: Path) -> Path:
    """The path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
