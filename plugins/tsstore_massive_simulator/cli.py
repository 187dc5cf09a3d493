"""The command `massive_simulator`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.calendar import hours, wall_ns
from tsstore_massive_simulator.faults import FAULTS, FaultError, Faults
from tsstore_massive_simulator.flatfiles import FlatFileError, FlatFileMarket
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.instruments import KITS
from tsstore_massive_simulator.othermarkets import other_markets
from tsstore_massive_simulator.plans import PLANS, PlanError, plans_of
from tsstore_massive_simulator.recording import Recording, RecordingError
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tsstore_massive_simulator.market import Market

_DEFAULT_TICKERS = 30
_TICKERS_MAX = 20_000


class _Speed(click.ParamType[float | None]):
    name = "number or max"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        if value in ("max", None):
            return None
        try:
            speed = float(str(value))
        except ValueError:
            speed = 0.0
        if not 0 < speed <= 1e6:
            self.fail(f"{value!r} is not a speed; write a number such as 60, or max", param, ctx)
        return speed


class _Start(click.ParamType[int]):
    name = "YYYY-MM-DD[THH:MM]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        try:
            if len(text) == 10:
                return hours(date.fromisoformat(text)).first_ns
            local = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is not a day; write 2026-01-02 or 2026-01-02T09:30", param, ctx)
        seconds = (local.hour * 60 + local.minute) * 60 + local.second
        return wall_ns(local.date(), seconds * NS_PER_SECOND)


def _show_faults(context: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    for fault in FAULTS.values():
        default = "" if fault.default is None else f", {fault.default} when absent"
        value = "" if fault.unit.value == "no value" else f"  [{fault.unit.value}{default}]"
        click.echo(f"{fault.name:16} {fault.text}{value}")
    context.exit()


@click.command(context_settings={"show_default": True})
@click.option("--port", default=8765, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with flat files in the vendor's layout; a market is generated without.",
)
@click.option(
    "--recording",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Frames to send at /stocks as they are: a line each, nanoseconds, a blank, the array.",
)
@click.option("--speed", default="1", type=_Speed(), help="60 plays an hour in a minute.")
@click.option("--date", "start_ns", type=_Start(), help="Where to begin, New York time.")
@click.option("--around-the-clock", is_flag=True, help="Play the nights too, not only the days.")
@click.option("--symbols", help="How many tickers to generate, or which, comma separated.")
@click.option("--seed", default=1, type=int, help="Another seed is another generated market.")
@click.option("--key", "keys", multiple=True, help="A good API key; without, every key is.")
@click.option(
    "--plan",
    "plan_names",
    multiple=True,
    metavar="[MARKET=]NAME",
    help=f"What clients have paid for: {', '.join(PLANS)}; without, everything.",
)
@click.option("--chaos", "chaos_seed", type=int, help="Switch random faults, those of this seed.")
@click.option("--fault", "faults", multiple=True, metavar="NAME[=VALUE]", help="What goes wrong.")
@click.option(
    "--list-faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_faults,
    help="Show the faults there are.",
)
def main(
    port: int,
    host: str,
    data: Path | None,
    recording: Path | None,
    speed: float | None,
    start_ns: int | None,
    around_the_clock: bool,
    symbols: str | None,
    seed: int,
    keys: tuple[str, ...],
    plan_names: tuple[str, ...],
    chaos_seed: int | None,
    faults: tuple[str, ...],
) -> None:
    """Play the vendor Massive on this machine: WebSocket and REST on one port.

    Without --data it generates US stocks at /stocks, and a few options, indices, currencies,
    crypto pairs and futures at the paths of those names. While the stock market is open it is
    live; otherwise the latest market day is played again from the opening bell. With --data it
    plays stocks from files, from their first day on, once a client has subscribed, and REST
    knows all of them.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    # Its notes on every connection are of no use to anyone here.
    logging.getLogger("websockets").setLevel(logging.WARNING)
    active = Faults()
    try:
        for fault in faults:
            active.set_text(fault)
        market = _market(data, symbols, seed)
        others = other_markets(seed).values() if market.live else ()
        simulator = Simulator(
            market,
            others=others,
            speed=speed,
            start_ns=start_ns,
            skips_nights=not around_the_clock,
            keys=keys,
            faults=active,
            plans=plans_of(plan_names, ("stocks", *KITS)),
            recording=Recording(recording) if recording else None,
            chaos_seed=chaos_seed,
        )
    except (FaultError, FlatFileError, PlanError, RecordingError) as error:
        raise click.UsageError(str(error)) from None
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None
    try:
        _run(_serve(simulator, host, port))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run on the quick event loop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def _serve(simulator: Simulator, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator.serving(host, port) as url:
        click.echo(f"listening on {url}")
        sys.stdout.flush()
        await stop.wait()


def _market(data: Path | None, symbols: str | None, seed: int) -> Market:
    names = [name.strip() for name in (symbols or "").split(",") if name.strip()]
    if data is not None:
        return FlatFileMarket(data, names or None)
    if names and not names[0].isdigit():
        return GeneratedMarket(seed, names)
    count = int(names[0]) if names else _DEFAULT_TICKERS
    if not 1 <= count <= _TICKERS_MAX:
        raise click.UsageError(f"--symbols must be 1 to {_TICKERS_MAX} or names, not {count}")
    return GeneratedMarket(seed, count)
