"""What a command line and a mkts.yml together ask the backfiller to do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from tsstore.config import read_secret
from tsstore.errors import InvalidArgumentError
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.commandline import day_of_flag, from_file, split_list, store_directory
from tsstore_massive.config import Config
from tsstore_massive.configured import wanted_symbols
from tsstore_massive.datasets import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date
    from pathlib import Path


#: Flags that are options as they are.
_AS_GIVEN = (
    "refetch", "ask_again", "source", "dry_run", "archive", "profile", "endpoint", "bucket",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Everything a run needs to know.

    Attributes:
        config: the worker's options, with those of the command line put over them.
        targets: what to fetch.
        symbols: exact symbols and patterns.
        directory: of the store.
        timezone: of the store; None for the one it has, as a running server does.
        refetch: whether days that were fetched before are fetched again.
        ask_again: whether what the plan of the key lately excluded is asked for.
        source: `rest`, `flatfiles`, or `auto` for whichever is quicker.
        dry_run: whether it is only to be said what it would cost.
        archive: where flat files are kept; None for beside the store.
        profile: of the S3 keys, as `endpoint` and `bucket`; None for the usual ones.
        endpoint: URL of the S3 service.
        bucket: name of the S3 bucket.
    """

    config: Config
    targets: list[Target]
    symbols: list[str]
    directory: Path
    timezone: str | None
    refetch: bool
    ask_again: bool = False
    source: str = "rest"
    dry_run: bool = False
    archive: Path | None = None
    profile: str | None = None
    endpoint: str | None = None
    bucket: str | None = None


def read_options(flags: Mapping[str, Any], today: date) -> Options:
    """The command line over mkts.yml over the defaults.

    Args:
        flags: the parameters of the command by name; None for what was not given.
        today: in New York; the last day unless `-to` names another.

    Raises:
        InvalidArgumentError: something is missing, or cannot be right.
    """
    base, root, timezone = from_file(flags["config_path"], flags["directory"])
    directory = store_directory(flags, root)
    config = _over(base, flags)
    last = day_of_flag(flags["end"]) - timedelta(days=1) if flags["end"] else today
    return Options(
        config,
        _targets(flags, config, last),
        wanted_symbols(flags["symbols"], config),
        directory,
        timezone,
        **{name: flags[name] for name in _AS_GIVEN},
    )


def _over(base: Config, flags: Mapping[str, Any]) -> Config:
    """The worker's options with those of the command line put over them."""
    given = {
        "api_key": flags["api_key"],
        "base_url": flags["base_url"],
        "backfill_batch_size": flags["batch_size"],
        "backfill_adjusted": flags["adjusted"],
        "backfill_parallelism": flags["parallelism"],
        "requests_per_minute": flags["requests_per_minute"],
    }
    if flags["api_key_file"] is not None:
        given["api_key"] = read_secret(flags["api_key_file"], "--api-key-file")
    fields = msgspec.structs.asdict(base)
    return Config(**fields | {name: value for name, value in given.items() if value is not None})


def _targets(flags: Mapping[str, Any], config: Config, last: date) -> list[Target]:
    """What to fetch, from its first day on: what flags name, else what has a first day."""
    given, for_all = _starts(flags["starts"])
    in_file = config.starts
    datasets = _named(flags, config) or list(given or in_file)
    if not datasets:
        raise InvalidArgumentError("what is to be fetched? give -bars, -trades or -quotes")
    _check_asked_for(given, datasets)
    starts = in_file | dict.fromkeys(datasets if for_all else (), for_all) | given
    return [
        Target(dataset, _first(starts, dataset, last, flags["end"]), last) for dataset in datasets
    ]


def _check_asked_for(given: Mapping[Dataset, date], datasets: list[Dataset]) -> None:
    """A first day of what is not fetched is a flag that was forgotten."""
    for dataset, first in given.items():
        if dataset in datasets:
            continue
        name = _name(dataset)
        if dataset.kind == "bars":
            lengths = [_name(each) for each in datasets if each.kind == "bars"]
            flag = f"-bar-frequencies {','.join(dict.fromkeys([*lengths, name]))}"
            instead = f", or for {name} alone -bar-frequencies {name}" if lengths else ""
        else:
            flag, instead = f"-{name}", ""
        raise InvalidArgumentError(
            f"-from {name}={first} is given and {dataset} are not asked for; say {flag}{instead}"
        )


def _named(flags: Mapping[str, Any], config: Config) -> list[Dataset]:
    names = []
    if flags["bars"] or flags["bar_frequencies"]:
        names += split_list(flags["bar_frequencies"] or "") or list(config.bar_frequencies)
    names += [kind for kind in ("trades", "quotes") if flags[kind]]
    return list(dict.fromkeys(map(Dataset.parse, names)))


def _first(
    starts: Mapping[Dataset, date | None], dataset: Dataset, last: date, end: str | None
) -> date:
    first = starts.get(dataset)
    if first is None:
        raise InvalidArgumentError(
            f"{dataset} from which day? give -from {_name(dataset)}=2024-01-01"
        )
    if first > last and end:
        raise InvalidArgumentError(
            f"{dataset} from {first} to {end}, which is itself not included: no day is left; for "
            f"{first} alone give -to {first + timedelta(days=1)}"
        )
    if first > last:
        raise InvalidArgumentError(
            f"{dataset} from {first}, and today in New York is {last}; give an earlier -from"
        )
    return first


def _name(dataset: Dataset) -> str:
    """What `-from` calls it."""
    return str(dataset.timeframe) if dataset.kind == "bars" else dataset.kind


def _starts(texts: Iterable[str]) -> tuple[dict[Dataset, date], date | None]:
    """First days by dataset, and the one that was given without a name."""
    starts: dict[Dataset, date] = {}
    for_all = None
    for text in itertools.chain.from_iterable(split_list(text) for text in texts):
        name, equals, day = text.rpartition("=")
        if equals:
            starts[Dataset.parse(name.strip())] = day_of_flag(day.strip())
        else:
            for_all = day_of_flag(day)
    return starts, for_all
