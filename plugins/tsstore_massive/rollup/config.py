"""Options of the bgworker `massive_rollup`.

bgworkers:
  - module: massive_rollup
    config:
      settle_hours: 4        # after 20:00 in New York, on half days 17:00; flat files come at 11:00
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tsstore_massive.config import Config as MassiveConfig

_Share = Annotated[float, Meta(ge=0, le=1)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `config:` of the worker may say.

    Attributes:
        check: whether the vendor's bars of the day are fetched (one request a day), compared with
            ours and stored in their place. Without, bars of minutes are stored, and no key needed.
        settle_hours: hours from the end of the late session (20:00 in New York, 17:00 on half
            days) after which the vendor's bars of the day are taken for final.
        days: so many of the last settled market days are closed if they are not yet.
        close_tolerance: share of the price by which the official close may be off the last minute.
        volume_share: share of the day's volume that the minutes have at least, and the day of
            that of the minutes.
        api_key: see the massive worker, as the rest of these.
        api_key_file: a file that holds nothing but the key.
        base_url: the REST service.
        requests_per_minute: requests that may start within a minute, with those of the worker.
        requests_per_day: the same for any day.
        quota_directory: where the use of these is kept; the worker's.
    """

    check: bool = True
    settle_hours: Annotated[float, Meta(ge=0, le=72)] = 4.0
    days: Annotated[int, Meta(ge=1, le=1000)] = 10
    close_tolerance: _Share = 0.02
    volume_share: _Share = 0.6
    api_key: str = ""
    api_key_file: str = ""
    base_url: str = "https://api.massive.com"
    requests_per_minute: Annotated[int, Meta(ge=1)] = 6_000
    requests_per_day: Annotated[int, Meta(ge=1)] | None = None
    quota_directory: str = ""

    def __post_init__(self) -> None:
        self.vendor()

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        names = self.__struct_fields__
        return [(name, "***" if name == "api_key" else getattr(self, name)) for name in names]

    def vendor(self) -> MassiveConfig:
        """The same as options of the massive worker, which checks them.

        Raises:
            ConfigError: an option cannot be right.
        """
        return MassiveConfig(
            api_key=self.api_key,
            api_key_file=self.api_key_file,
            base_url=self.base_url,
            requests_per_minute=self.requests_per_minute,
            requests_per_day=self.requests_per_day,
            quota_directory=self.quota_directory,
        )
