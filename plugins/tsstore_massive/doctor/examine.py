"""Everything that is looked at, in the order in which one thing needs the other."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from tsstore.errors import ConfigError
from tsstore_massive.channels import channels_of
from tsstore_massive.commandline import find_config, from_file
from tsstore_massive.doctor import machine
from tsstore_massive.doctor.files import check_files
from tsstore_massive.doctor.findings import fail, ok, skip
from tsstore_massive.doctor.probe import Probe
from tsstore_massive.doctor.questions import SYMBOLS
from tsstore_massive.doctor.service import check_service, requests_needed
from tsstore_massive.doctor.stream import Target, check_stream
from tsstore_massive.errors import StoppedError
from tsstore_massive.rest.rate import limiter_for
from tsstore_massive.sessions import MarketCalendar, day_of, market_open
from tsstore_massive.streaming.lineup import lineup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from tsstore.clock import Clock
    from tsstore.redact import Redactor
    from tsstore_massive.config import Config
    from tsstore_massive.doctor.findings import Finding
    from tsstore_massive.symbols import Market


@dataclass(frozen=True)
class Wishes:
    """What is to be looked at.

    Attributes:
        config_path: mkts.yml; None for one of the usual places, if it is there.
        directory: of the store; None for the one of mkts.yml.
        markets: whose plan to ask for; none for those of the connections.
        socket: whether sockets are opened.
        listen: seconds to wait for data.
        files: whether flat files are looked at.
        profile: see `find_access`, as `endpoint`.
        endpoint: of S3.
    """

    config_path: Path | None
    directory: Path | None
    markets: tuple[Market, ...]
    socket: bool
    listen: float
    files: bool
    profile: str | None
    endpoint: str | None


class Examination:
    """Looks at everything.

    Args:
        wishes: what is to be looked at.
        clock: the source of time.
        redactor: learns the keys, so that no text shows them.
        tell: says what is about to be done, before it is.
    """

    def __init__(
        self, wishes: Wishes, clock: Clock, redactor: Redactor, tell: Callable[[str], None]
    ) -> None:
        self._wishes = wishes
        self._clock = clock
        self._redactor = redactor
        self._tell = tell
        self._today = day_of(clock.now_ns())
        self._asked: set[tuple[str, str, Market]] = set()
        self._opened: set[tuple[str, str]] = set()

    def findings(self) -> Iterator[Finding]:
        """What was found, as it is found."""
        wishes = self._wishes
        try:
            config, root, timezone = from_file(wishes.config_path, wishes.directory)
        except ConfigError as error:
            # One line for each thing that is wrong.
            for line in str(error).splitlines():
                yield fail("options", line, "correct it; mkts.yml.example shows all options")
            return
        path = find_config(wishes.config_path)
        yield ok("options", str(path or "the defaults; --config names a mkts.yml"))
        yield from self._machine(wishes.directory or root, timezone)
        if config.data_source != "massive":
            yield skip("Massive", f"data_source is {config.data_source}: it is asked for nothing")
            return
        yield from self._connections(config)
        if self._wishes.files:
            yield from check_files(
                self._today, profile=self._wishes.profile, endpoint=self._wishes.endpoint
            )

    def _machine(self, directory: Path | str | None, timezone: str | None) -> Iterator[Finding]:
        if directory is None:
            yield machine.no_store()
            return
        directory = Path(directory)
        yield machine.check_space(directory)
        yield machine.check_speed(directory, self._clock)
        yield machine.check_store(directory, timezone)

    def _connections(self, config: Config) -> Iterator[Finding]:
        """Each connection of the options by itself, its name before what is found of it."""
        if not config.connections:
            yield from self._connection(config)
            return
        whole = True
        for name, options in config.connections.items():
            if not options.enabled:
                yield skip(name, "not enabled")
                continue
            for finding in self._connection(config.of_connection(name)):
                whole &= finding.check != "key present" or not finding.advice
                yield dataclasses.replace(finding, check=f"{name}: {finding.check}")
        if whole:
            yield _together(config)

    def _connection(self, config: Config) -> Iterator[Finding]:
        finding, key = machine.check_key(config)
        yield finding
        if key is None:
            return
        self._redactor.add([key])
        yield from self._service(config, key)
        yield from self._streams(config, key)

    def _service(self, config: Config, key: str) -> Iterator[Finding]:
        named = self._wishes.markets or (config.market,)
        markets = [m for m in named if (config.base_url, key, m) not in self._asked]
        self._asked |= {(config.base_url, key, market) for market in markets}
        if not markets:
            return  # another connection has the same plan
        day = self._day_over()
        limit, count = config.requests_per_minute, requests_needed(markets, day)
        minutes = (count - 1) // limit
        wait = f", {minutes} min at {limit} a minute" if minutes else ""
        self._tell(f"{count} requests to {config.base_url} at most{wait}")
        limiter = limiter_for(config, key, self._clock)
        stop = threading.Event()
        try:
            with Probe(
                config.base_url, key, clock=self._clock, limiter=limiter, stop=stop
            ) as probe:
                yield from check_service(
                    probe,
                    markets,
                    config.data_types,
                    today=self._today,
                    day=day,
                    key_source=machine.key_source(config),
                )
        except StoppedError:
            return

    def _streams(self, config: Config, key: str) -> Iterator[Finding]:
        """The socket of each market; of several, its name before what is found of it."""
        if not self._wishes.socket:
            yield skip("socket", "not opened, as asked")
            return
        markets = self._wishes.markets or (config.market,)
        for market in markets:
            name = f"{market} " if len(markets) > 1 else ""
            for finding in self._stream(_of_market(config, market), key):
                yield dataclasses.replace(finding, check=name + finding.check)

    def _stream(self, config: Config, key: str) -> Iterator[Finding]:
        if (key, config.stream_url) in self._opened:
            return  # for another connection
        self._opened.add((key, config.stream_url))
        self._tell(
            f"opening a connection to {config.stream_url}; it ends a worker that streams with this "
            "key on another machine"
        )
        target = Target(
            config.stream_url,
            config.market,
            (config.bucket_symbols or (SYMBOLS[config.market],))[0],
            config.data_types,
            market_open(config.market, self._clock.now_ns()),
            self._wishes.listen,
            config.connections_allowed,
        )
        yield from check_stream(target, key, self._clock)

    def _day_over(self) -> date:
        """The last market day before today."""
        before = self._today - timedelta(days=1)
        day: date = MarketCalendar().days(self._today - timedelta(days=14), before)[-1].item()
        return day


def _of_market(config: Config, market: Market) -> Config:
    """The options for another market, as far as they can be meant for it."""
    if market == config.market:
        return config
    known = {channel.kind for channel in channels_of(market)}
    server = urlsplit(config.ws_server)
    return msgspec.structs.replace(
        config,
        chosen_market=market,
        ws_server=f"{server.scheme}://{server.netloc}",
        data_types=tuple(kind for kind in config.data_types if kind in known) or ("bars",),
        symbols=(),
        universe=(),
    )


def _together(config: Config) -> Finding:
    """Whether the connections leave one another alone."""
    try:
        planned = lineup(config)
    except ConfigError as error:
        return fail("connections", str(error), "give them keys of their own, or disable some")
    return ok("connections", f"{len(planned)}, none of which fights with another over a quota")
