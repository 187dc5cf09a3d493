"""mkts.yml: every key of MarketStore's, and tsstore's own.

Reading it checks everything at once and changes nothing. What plugins are given (`config:`) is kept
as it stands there, with its lines, until the host knows the plugin and its options.
"""

from __future__ import annotations

import difflib
import logging
import re
import stat
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from tsstore.errors import ConfigError, InvalidArgumentError
from tsstore.yamlfile import Value, load_yaml
from tsstore.yamlsettings import convert
from tsstore.zones import zone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FILE_NAME = "mkts.yml"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
#: Messages of gRPC have less than 2 GiB.
MessageMegabytes = Annotated[int, msgspec.Meta(ge=1, le=2047)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]

_NO_EFFECT = "has no effect here; remove it"
_ALL = "mkts.yml.example has all there are"
_LOOPBACK = (
    "without listen_host, this server is reached from this machine alone; for others, write "
    "`listen_host: 0.0.0.0`, and token_file or `insecure: true`"
)
#: Keys of MarketStore that are accepted, with what the log says about them.
IGNORED = {
    "utilities_url": "/heartbeat and /metrics are served on listen_port",
    "wal_rotate_interval": "the log is cut whenever its rows are in segments",
    "wal_bypass": "the log is always kept; see wal_sync",
    "disable_variable_compression": _NO_EFFECT,
    "init_catalog": _NO_EFFECT,
    "init_wal_cache": _NO_EFFECT,
    "background_sync": "see wal_sync",
    "queryable": _NO_EFFECT,
    "stale_threshold": _NO_EFFECT,
    "enable_add": _NO_EFFECT,
    "enable_remove": _NO_EFFECT,
    "enable_last_known": _NO_EFFECT,
    "start_time": _NO_EFFECT,
    "polling_interval": _NO_EFFECT,
    "cluster_mode": _NO_EFFECT,
    "attrgroup_types": "column types are those of the rows that are written first",
}
#: What old files leave empty (`grpc_listen_port: ""`) and mean the default by.
_MAY_BE_EMPTY = frozenset(
    {
        "cert_file",
        "grpc_listen_port",
        "grpc_max_recv_msg_size",
        "grpc_max_send_msg_size",
        "key_file",
        "log_level",
        "stop_grace_period",
    }
)
# From here on a name is taken for one that was mistyped: `tls_cert` is, and `queryable` is not.
_ALIKE = 0.6
# A file whose name was lost would leave the server open, or a replica without its token.
_FILES = frozenset({"token_file", "read_token_file", "tls_certificate", "tls_key", "cert_file"})
# What names of keys have in common that say who may speak to a server, and how.
_PROTECTING = re.compile(
    "token|auth|pass|secret|tls|ssl|cert|host|origin|secur|cors|^key|key(_?file)?$|(^|_)ca(_|$)"
)


class BgWorkerEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of `bgworkers`.

    Attributes:
        module: how the plugin is found: `massive.so`, `massive` or `package.module:Name`.
        name: what logs and /heartbeat call it; the module without `.so` when empty.
        config: the plugin's own options, as they stand in the file.
    """

    module: Value
    name: str = ""
    config: Value | None = None

    def __post_init__(self) -> None:
        _check_module(self.module)


class TriggerEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of `triggers`.

    Attributes:
        module: how the plugin is found: `stream.so`, `stream` or `package.module:Name`.
        on: pattern of the keys it fires for, such as `*/1Min/OHLCV`.
        config: the plugin's own options, as they stand in the file.
    """

    module: Value
    on: str
    config: Value | None = None

    def __post_init__(self) -> None:
        _check_module(self.module)


def _check_module(module: Value) -> None:
    if not isinstance(module.content, str):
        raise InvalidArgumentError("module is not text; write a name such as massive.so")


def _seconds(text: str) -> float:
    """Seconds of a duration as Go writes it: `10s`, `1m30s`, `500ms`.

    Raises:
        InvalidArgumentError: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not seconds:
        raise InvalidArgumentError(f"{text!r} is no duration above 0; write 10s or 1m30s")
    return seconds


_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Replication(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas of this server, or the server that this one is a replica of.

    Attributes:
        enabled: whether other servers may follow this one, at `listen_port`.
        listen_port: port for replicas; 0 takes a free one.
        master_host: the server to follow, `host:port`; this one is a replica then.
        tls_enabled: whether that speaks TLS.
        cert_file: PEM file of whom to trust then; none for those whom the machine trusts.
        key_file: accepted, and not needed.
        token_file: file with the token that the other server asks for.
        retry_interval: before a broken connection is tried again for the first time.
        retry_backoff_coeff: how much longer each further time.
    """

    enabled: bool = False
    listen_port: Port = 5996
    master_host: str = ""
    tls_enabled: bool = False
    cert_file: str | None = None
    key_file: str | None = None
    token_file: str | None = None
    retry_interval: str = "10s"
    retry_backoff_coeff: Annotated[float, msgspec.Meta(ge=1)] = 2

    def __post_init__(self) -> None:
        _seconds(self.retry_interval)
        if self.enabled and self.master_host:
            raise InvalidArgumentError(
                "a replica cannot have replicas; remove `enabled` or `master_host`"
            )

    @property
    def master_url(self) -> str:
        """The server to follow."""
        has_port = re.search(r":\d+$", self.master_host) is not None
        host = self.master_host if has_port else f"{self.master_host}:5996"
        return f"http{'s' if self.tls_enabled else ''}://{host}"

    @property
    def retry_s(self) -> float:
        """`retry_interval` in seconds."""
        return _seconds(self.retry_interval)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What clients may ask of the server; beyond it they get an error that names the limit.

    Attributes:
        body_bytes_max: largest request.
        reply_bytes_max: most column bytes that one request may read.
        requests_max: most requests inside one call.
        read_timeout_s: longest silence within a request.
        write_timeout_s: longest time that a client reads nothing of what waits for it.
        connections_max: connections at one time.
        threads: calls carried out at one time.
        long_calls: copies, compactions and backups carried out at one time.
        replicas: servers that follow this one at one time.
        sql_calls: SQL statements carried out at one time.
        sql_memory_bytes: what these may use together.
        sql_time_s: longest time of one.
        sql_rows_max: most rows that one may answer.
        stream_queue_bytes: what a subscriber of /ws may fall behind before it is dropped.
    """

    body_bytes_max: Positive | None = None
    reply_bytes_max: Positive | None = None
    requests_max: Positive | None = None
    read_timeout_s: PositiveSeconds | None = None
    write_timeout_s: PositiveSeconds | None = None
    connections_max: Positive | None = None
    threads: Positive | None = None
    long_calls: Positive | None = None
    replicas: Positive | None = None
    sql_calls: Positive | None = None
    sql_memory_bytes: Positive | None = None
    sql_time_s: PositiveSeconds | None = None
    sql_rows_max: Positive | None = None
    stream_queue_bytes: Positive | None = None


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of mkts.yml that have an effect.

    None stands for a key that is absent; its default is the one of the part that it sets.

    Attributes:
        root_directory: where the data are; relative to the working directory.
        listen_host: address to listen on; absent or empty means this machine only.
        listen_port: port of /rpc, /ws, /heartbeat and /metrics; 0 takes a free one.
        grpc_listen_port: port of gRPC; 0 takes a free one, absent serves none.
        grpc_max_send_msg_size: largest answer over gRPC, in MiB.
        grpc_max_recv_msg_size: largest request over gRPC, in MiB.
        timezone: whose midnights bound days, and zone of times that clients send without one;
            absent means the one that the directory was made with, UTC for a new one.
        log_level: the least severe messages that are logged.
        stop_grace_period: seconds to answer "not queryable" before stopping.
        wal_sync: when a write returns: `always` on the medium, or `interval`, or `off`.
        wal_sync_interval_s: how often the log is synced with `wal_sync: interval`.
        memtable_bytes: rows kept in memory before they are flushed.
        cache_bytes: decoded blocks kept in memory.
        files_max: segment files kept open.
        compaction_bytes_per_s: how fast rows are packed in the background; 0 for not at all.
        token_file: file with the token that clients must send; none asks for no token.
        read_token_file: file with another token, for clients that may read only.
        insecure: allow to listen on other addresses than loopback without a token.
        allowed_hosts: names under which other machines call this one.
        allowed_origins: web pages that may talk to the server.
        tls_certificate: PEM file; with `tls_key` every port speaks TLS.
        tls_key: PEM file.
        backup_directory: where backups that clients ask for are made; none refuses them.
        limits: what a client may ask for.
        replication: replicas of this server, or the server that this one is a replica of.
        triggers: plugins called after commits.
        bgworkers: plugins with a life of their own.
    """

    root_directory: str
    listen_host: str | None = None
    listen_port: Port | None = None
    grpc_listen_port: Port | None = None
    grpc_max_send_msg_size: MessageMegabytes | None = None
    grpc_max_recv_msg_size: MessageMegabytes | None = None
    timezone: str | None = None
    log_level: Literal["fatal", "error", "warning", "warn", "info", "debug"] = "info"
    stop_grace_period: Seconds = 0
    wal_sync: Literal["always", "interval", "off"] | None = None
    wal_sync_interval_s: PositiveSeconds | None = None
    memtable_bytes: Positive | None = None
    cache_bytes: Positive | None = None
    files_max: Positive | None = None
    compaction_bytes_per_s: NotNegative | None = None
    token_file: str | None = None
    read_token_file: str | None = None
    insecure: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    tls_certificate: str | None = None
    tls_key: str | None = None
    backup_directory: str | None = None
    limits: Limits = Limits()
    replication: Replication = Replication()
    triggers: list[TriggerEntry] = []
    bgworkers: list[BgWorkerEntry] = []


class Config(Keys, frozen=True, kw_only=True):
    """The contents of mkts.yml, checked.

    Attributes:
        path: the file.
        notices: what the log should say about keys that are accepted and have no effect.
    """

    path: Path
    notices: tuple[str, ...] = ()


def load_config(path: Path | str, environment: Mapping[str, str] | None = None) -> Config:
    """Read and check mkts.yml.

    Args:
        path: the file.
        environment: where `${NAME}` is looked up; the environment of the process if absent.

    Raises:
        ConfigError: the file cannot be read, or one line for each thing that is wrong.
    """
    path = Path(path)
    source = _read(path)
    reading = _Reading()
    known = reading.known(source, Keys, IGNORED)
    keys = convert(known, Keys, environment, found=reading.problems)
    _check_values(source, keys)
    if reading.notices and not keys.listen_host:  # a file of MarketStore, which listens everywhere
        reading.notices.append(source.problem(_LOOPBACK))
    return Config(**msgspec.structs.asdict(keys), path=path, notices=tuple(reading.notices))


class _Reading:
    """Leaves out what has no effect, and keeps what the log should say about it.

    A name is a mistake rather than passed over if it looks like a mistyped one, or like one that
    protects: `token_fle` would leave the server without its token. Options of plugins are not
    looked at.

    Attributes:
        notices: what the log should say.
        problems: what is wrong with names.
    """

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.problems: list[str] = []

    def known(
        self, section: Value, kind: type[msgspec.Struct], ignored: Mapping[str, str]
    ) -> Value:
        """The section without its keys that have no effect."""
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        kept = {}
        for key, value in section.content.items():
            if key in fields:
                if value.content != "" or key not in _MAY_BE_EMPTY:
                    kept[key] = self._below(key, value, fields[key])
            elif key in ignored:
                self.notices.append(value.problem(f"ignored: {ignored[key]}"))
            elif mistake := _mistake(key, kind):
                self.problems.append(value.problem(f"unknown key; {mistake}"))
            else:
                self.notices.append(value.problem(f"ignored: no such key; remove it ({_ALL})"))
        return Value(section.file, section.line, section.path, kept)

    def _below(self, key: str, value: Value, kind: Any) -> Value:
        """The same within what MarketStore's files have below a key; `limits` is our own."""
        if key == "log_level":
            return _small(value)
        if kind is Replication and isinstance(value.content, dict):
            return self.known(value, Replication, {})
        entry = next(iter(typing.get_args(kind)), None)
        if entry not in (TriggerEntry, BgWorkerEntry) or not isinstance(value.content, list):
            return value
        items = [
            self.known(item, entry, {}) if isinstance(item.content, dict) else item
            for item in value.content
        ]
        return Value(value.file, value.line, value.path, items)


def _mistake(name: str, kind: type[msgspec.Struct]) -> str | None:
    """What to do about a name that nobody knows; None if it may be passed over."""
    name = name.casefold()
    fields = kind.__struct_fields__
    limits = Limits.__struct_fields__ if kind is Keys else ()
    near = next(iter(difflib.get_close_matches(name, (*fields, *limits), 1, _ALIKE)), None)
    if near in fields:
        return f"did you mean {near}?"
    if near is not None:
        return f"{near} belongs below limits:"
    if kind is Replication:  # what it says of the line between servers must not be overheard
        return f"there are {', '.join(fields)}"
    if _PROTECTING.search(name):
        if kind in (TriggerEntry, BgWorkerEntry):
            return "what the plugin itself is told belongs below config:, further to the right"
        return f"it looks like one that protects something, and would not; {_ALL}"
    return None


def _small(value: Value) -> Value:
    """A `log_level` in small letters, unless it comes from a variable."""
    if not isinstance(value.content, str) or "$" in value.content:
        return value
    return Value(value.file, value.line, value.path, value.content.lower())


def _check_values(source: Value, keys: Keys) -> None:
    """What the types of the keys do not say."""
    try:
        zone(keys.timezone or "UTC")
    except InvalidArgumentError as error:
        raise ConfigError((source.get("timezone") or source).problem(str(error))) from None
    if not keys.root_directory.strip():
        where = source.get("root_directory") or source
        raise ConfigError(where.problem("is empty; name a directory"))
    problems = _empty(source, keys, _FILES)
    replication = source.get("replication")
    if replication is not None:
        problems += _empty(replication, keys.replication, Replication.__struct_fields__)
    if problems:
        raise ConfigError("\n".join(problems))


def _empty(section: Value, keys: msgspec.Struct, names: Collection[str]) -> list[str]:
    """What is wrong with keys that lost their values, on the way from a variable perhaps."""
    problems = []
    for name, value in section.content.items():
        if name not in names:
            continue
        found = getattr(keys, name)
        is_blank = name in _FILES and found is not None and not found.strip()
        if is_blank or value.content is None:
            what = "name a file" if name in _FILES else "write a value"
            problems.append(value.problem(f"is empty; {what}, or leave the key out"))
    return problems


class StoreKeys(msgspec.Struct, frozen=True):
    """The keys of mkts.yml that say which store it is about.

    Attributes:
        root_directory: the data directory; None when absent.
        timezone: zone whose midnights bound days; None when absent.
    """

    root_directory: str | None = None
    timezone: str | None = None


def find_store(path: Path | str) -> StoreKeys:
    """The store that mkts.yml is about; the rest of the file may be wrong or not for us.

    Raises:
        ConfigError: the file cannot be read, or one of these keys is wrong.
    """
    source = _read(Path(path))
    found = {key: source.get(key) for key in StoreKeys.__struct_fields__}
    mine = {key: value for key, value in found.items() if value is not None}
    return convert(Value(source.file, source.line, "", mine), StoreKeys)


def read_secret(path: Path | str, what: str) -> str:
    """A secret from a file of its own, blanks around it removed.

    Args:
        path: the file; a warning is logged when others can read it.
        what: the key that names the file, for messages.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8").strip()
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what}: cannot read {path}: {_reason(error)}") from None
    if not text:
        raise ConfigError(f"{what}: {path} is empty; put the secret there")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        logging.getLogger(__name__).warning(
            "%s: others can read %s (mode %o); run `chmod 600 %s`", what, path, mode, path
        )
    return text


def _read(path: Path) -> Value:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {path}: {_reason(error)}; `tsstore init` writes a new one"
        ) from None
    source = load_yaml(text, str(path))
    if not isinstance(source.content, dict):
        raise ConfigError(f"{path}:{source.line}: not a mapping; write `key: value` lines")
    return source


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "not readable") if isinstance(error, OSError) else "not UTF-8 text"
