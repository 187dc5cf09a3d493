"""The command `massive_doctor`."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tsstore.clock import SystemClock
from tsstore.errors import ConfigError, TsStoreError
from tsstore.redact import Redactor, secrets_in_environment
from tsstore_massive.doctor import machine
from tsstore_massive.doctor.files import check_files
from tsstore_massive.doctor.findings import Verdict, fail, is_healthy, ok, skip
from tsstore_massive.doctor.probe import Probe
from tsstore_massive.doctor.questions import SYMBOLS
from tsstore_massive.doctor.service import check_service, requests_needed
from tsstore_massive.doctor.stream import Target, check_stream
from tsstore_massive.errors import StoppedError
from tsstore_massive.options import DEFAULT_CONFIG, from_file
from tsstore_massive.rate import limiter_for
from tsstore_massive.sessions import MarketCalendar, day_of
from tsstore_massive.symbols import MARKETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from tsstore.clock import Clock
    from tsstore_massive.config import Config
    from tsstore_massive.doctor.findings import Finding

_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.SKIP: "dim",
}
_WIDTH_WITHOUT_TERMINAL = 160


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"mkts.yml of the server [{DEFAULT_CONFIG} if it is there].",
)
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Directory of the store [root_directory of the config].",
)
@click.option(
    "--market",
    "markets",
    type=click.Choice(MARKETS),
    multiple=True,
    help="Whose plan to look at; repeat it for more [that of the config].",
)
@click.option(
    "--socket/--no-socket", default=True, help="Open the socket, which evicts others [yes]."
)
@click.option(
    "--listen", type=click.FloatRange(0, 600), default=5.0, help="Seconds to wait for data [5]."
)
@click.option("--files/--no-files", default=True, help="Look at flat files on S3 [yes].")
@click.option("--profile", metavar="NAME", help="Of ~/.aws/credentials [massive].")
@click.option("--endpoint", metavar="URL", help="S3 service [https://files.massive.com].")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.version_option(version("tsstore"), prog_name="massive_doctor")
def command(**flags: Any) -> None:
    """Say what keeps Massive.com's data from coming, and what to do about it.

    Looks at the options, the key, the plan, REST, the socket, flat files, the clock, the disk and
    the store. A key has one connection to the socket, so it is not opened while a worker on this
    machine streams; it would end one on another machine: --no-socket leaves it out.
    Ends with 1 if something fails.
    """
    clock = SystemClock()
    redactor = Redactor(secrets_in_environment())
    findings = list(_examine(flags, clock, redactor))
    shown = [_masked(finding, redactor) for finding in findings]
    if flags["as_json"]:
        click.echo(msgspec.json.encode(shown).decode())
    else:
        _print_table(shown)
    if not is_healthy(findings):
        sys.exit(1)


def main() -> None:
    """Entry point of the console script."""
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)
    except TsStoreError as error:
        click.echo(f"massive_doctor: {error}", err=True)
        sys.exit(error.exit_code)


@dataclass(frozen=True)
class _Days:
    """Days of New York: the present one, and the last market day before it."""

    today: date
    over: date

    @staticmethod
    def at(ns: int) -> _Days:
        today = day_of(ns)
        yesterday = today - timedelta(days=1)
        days = MarketCalendar().days(today - timedelta(days=14), yesterday)
        return _Days(today, days[-1].item())


def _examine(flags: dict[str, Any], clock: Clock, redactor: Redactor) -> Iterator[Finding]:
    try:
        config, root, timezone = from_file(flags["config_path"])
    except ConfigError as error:
        # One line for each thing that is wrong.
        for line in str(error).splitlines():
            yield fail("options", line, "correct it; mkts.yml.example shows all options")
        return
    yield ok("options", str(flags["config_path"] or "the defaults; --config names a mkts.yml"))
    yield from _examine_machine(flags["directory"] or root, timezone, clock)
    if config.data_source != "massive":
        yield skip("Massive", f"data_source is {config.data_source}: it is not asked for anything")
        return
    finding, key = machine.check_key(config)
    yield finding
    days = _Days.at(clock.now_ns())
    if key is not None:
        redactor.add([key])
        yield from _examine_service(flags, config, key, clock, days)
        yield from _examine_stream(flags, config, key, clock, days)
    if flags["files"]:
        yield from check_files(days.today, profile=flags["profile"], endpoint=flags["endpoint"])


def _examine_machine(
    directory: Path | str | None, timezone: str | None, clock: Clock
) -> Iterator[Finding]:
    if directory is None:
        yield machine.no_store()
        return
    directory = Path(directory)
    yield machine.check_space(directory)
    yield machine.check_speed(directory, clock)
    yield machine.check_store(directory, timezone)


def _examine_service(
    flags: dict[str, Any], config: Config, key: str, clock: Clock, days: _Days
) -> Iterator[Finding]:
    markets = flags["markets"] or (config.market,)
    limit = config.requests_per_minute
    count = requests_needed(markets, days.over)
    minutes = (count - 1) // limit
    wait = f", {minutes} min at {limit} a minute" if minutes else ""
    click.echo(f"{count} requests to {config.base_url} at most{wait}", err=True)
    limiter = limiter_for(config, key, clock)
    try:
        with Probe(
            config.base_url, key, clock=clock, limiter=limiter, stop=threading.Event()
        ) as probe:
            yield from check_service(
                probe, markets, config.data_types, today=days.today, day=days.over
            )
    except StoppedError:
        return


def _examine_stream(
    flags: dict[str, Any], config: Config, key: str, clock: Clock, days: _Days
) -> Iterator[Finding]:
    if not flags["socket"]:
        yield skip("socket", "not opened, as asked")
        return
    click.echo(
        f"opening a connection to {config.stream_url}; it ends a worker that streams with this key "
        "on another machine",
        err=True,
    )
    symbol = (config.bucket_symbols or (SYMBOLS[config.market],))[0]
    session = MarketCalendar().session(days.today)
    is_open = session is not None and session.open_ns <= clock.now_ns() < session.close_ns
    target = Target(
        config.stream_url, config.market, symbol, config.data_types, is_open, flags["listen"]
    )
    yield from check_stream(target, key, clock)


def _masked(finding: Finding, redactor: Redactor) -> dict[str, str]:
    texts = asdict(finding) | {"verdict": finding.verdict.value}
    return {name: redactor.mask(text) for name, text in texts.items()}


def _print_table(findings: Iterable[dict[str, str]]) -> None:
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        verdict = Text(finding["verdict"], _COLOURS[Verdict(finding["verdict"])])
        table.add_row(verdict, *(Text(finding[name]) for name in ("check", "found", "advice")))
    console.print(table)
