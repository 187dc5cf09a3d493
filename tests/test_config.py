"""mkts.yml, read and checked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tsstore.config import IGNORED, Config, StoreKeys, find_store, load_config, read_secret
from tsstore.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: As MarketStore's own template has it, obsolete keys included.
MARKETSTORE = """
root_directory: data
listen_port: 5993
grpc_listen_port: 5995
log_level: info
queryable: true
stop_grace_period: 0
wal_rotate_interval: 5
stale_threshold: 5
enable_add: "true"
enable_remove: false
utilities_url: localhost:5994
timezone: "America/New_York"
replication:
  enabled: false
triggers:
  - module: ondiskagg.so
    on: "*/1Min/OHLCV"
    config:
      filter: "nasdaq"
      destinations:
        - 5Min
  - module: stream.so
    on: '*/*/*'
bgworkers:
  - module: massive.so
    name: Massive
    config:
      api_key: your_key
      query_start:
        - 1Min: "2024-01-01"
"""
#: Names under which one might look for what protects a server, and that are none of ours.
PROTECTING = """
TOKEN_FILE CERT_FILE Token-File auth auth_token bearer_token access_token password secret key
require_token authentication ssl ssl_cert cert client_ca ca_file hosts bind_host origins cors
secure security use_tls keyfile server_key api_key_file cert_file LISTEN_HOST Allowed_Hosts
"""


@pytest.fixture
def load(tmp_path: Path):
    def load(text: str, **environment: str) -> Config:
        path = tmp_path / "mkts.yml"
        path.write_text(text)
        return load_config(path, environment)

    return load


def error_of(load, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **environment)
    return str(caught.value)


def test_a_file_of_marketstore_is_read_unchanged(load) -> None:
    config = load(MARKETSTORE)
    assert config.root_directory == "data"
    assert config.listen_port == 5993
    assert config.timezone == "America/New_York"
    assert [(entry.module.content, entry.on) for entry in config.triggers] == [
        ("ondiskagg.so", "*/1Min/OHLCV"),
        ("stream.so", "*/*/*"),
    ]
    assert [(entry.module.content, entry.name) for entry in config.bgworkers] == [
        ("massive.so", "Massive")
    ]


def test_keys_without_effect_are_named_once_each_with_their_line(load) -> None:
    notices = load("listen_host: 127.0.0.1" + MARKETSTORE).notices
    assert len(notices) == 6
    assert "mkts.yml:6: queryable: ignored: has no effect here" in notices[0]


@pytest.mark.parametrize("host", ["", 'listen_host: ""'])
def test_who_is_reached_is_said_where_marketstore_listens_everywhere(load, host) -> None:
    text = f"{host}\nroot_directory: d\n"
    assert "without listen_host, this server is reached" in load(text + "queryable: 1").notices[-1]
    assert load(text).notices == ()


def test_keys_that_nobody_knows_are_passed_over_with_what_to_do(load) -> None:
    config = load(
        "root_directory: d\ncatalog_cache: 5\nold_feature: {a: [1]}\nempty:\n"
        "triggers: [{module: stream.so, on: '*/*/*', title: a}]\n"
        "bgworkers: [{module: massive.so, schedule: daily, config: {api_key: x}}]\n"
    )
    places = ["2: catalog_cache", "3: old_feature", "4: empty"]
    places += ["5: triggers[0].title", "6: bgworkers[0].schedule"]
    for place, notice in zip(places, config.notices[:-1], strict=True):
        assert f"mkts.yml:{place}: ignored: no such key; remove it" in notice


@pytest.mark.parametrize("key", PROTECTING.split())
@pytest.mark.parametrize("value", ["x", ""])
def test_a_name_that_seems_to_protect_is_never_passed_over(load, key: str, value: str) -> None:
    assert f"mkts.yml:2: {key}: unknown key; " in error_of(
        load, f"root_directory: d\n{key}: {value}"
    )


@pytest.mark.parametrize("section", ["triggers: [{on: '*/*/*', ", "bgworkers: [{"])
def test_nor_is_one_beside_the_options_of_a_plugin(load, section: str) -> None:
    problem = error_of(load, f"root_directory: d\n{section}module: m, api_token: x}}]")
    assert ".api_token: unknown key; what the plugin itself is told belongs below" in problem


@pytest.mark.parametrize(
    "key", ["tls", "use_tls", "ssl", "secure", "TLS_ENABLED", "ca", "token", "compression"]
)
def test_what_a_replica_does_not_know_is_never_passed_over(load, key: str) -> None:
    text = f"root_directory: d\nreplication: {{master_host: a, token_file: t, {key}: true}}"
    assert f"mkts.yml:2: replication.{key}: unknown key; " in error_of(load, text)


@pytest.mark.parametrize("key", ["connections_max", "Body_Bytes_Max", "max_connections"])
def test_a_limit_stands_below_limits(load, key: str) -> None:
    problem = error_of(load, f"root_directory: d\n{key}: 5")
    assert f"mkts.yml:2: {key}: unknown key; " in problem
    assert problem.endswith("s_max belongs below limits:")


def test_unknown_names_are_told_with_everything_else(load) -> None:
    problems = error_of(load, "root_directory: d\npassword: x\nlisten_port: y\nhosts: z").split(
        "\n"
    )
    assert [line.split(": ")[1] for line in problems] == ["password", "hosts", "listen_port"]


@pytest.mark.parametrize("key", ["token_file", "read_token_file", "tls_certificate", "tls_key"])
@pytest.mark.parametrize("value", ["", "null", "''", "' '", "${UNSET:-}"])
def test_a_file_that_was_lost_is_not_done_without(load, key: str, value: str) -> None:
    problem = error_of(load, f"root_directory: d\n{key}: {value}\nlisten_port: 0")
    assert problem.endswith(f"mkts.yml:2: {key}: is empty; name a file, or leave the key out")


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("token_file", "name a file"),
        ("token_file: ''", "name a file"),
        ("cert_file", "name a file"),
        ("cert_file: '${UNSET:-}'", "name a file"),
        ("tls_enabled", "write a value"),
        ("master_host", "write a value"),
        ("enabled", "write a value"),
    ],
)
def test_nor_is_what_a_replica_lost(load, key: str, what: str) -> None:
    text = (
        f"root_directory: d\nreplication:\n  listen_port: 1\n  {key if ':' in key else key + ':'}"
    )
    name = key.partition(":")[0]
    assert error_of(load, text).endswith(
        f"mkts.yml:4: replication.{name}: is empty; {what}, or leave the key out"
    )


def test_everything_that_was_lost_is_told(load) -> None:
    text = "root_directory: d\ntls_certificate:\ntls_key:\nreplication: {tls_enabled: }"
    assert len(error_of(load, text).split("\n")) == 3


def test_what_old_files_leave_empty_is_the_default(load) -> None:
    config = load(
        'root_directory: d\nlisten_host: ""\nlisten_port: "5993"\ngrpc_listen_port: ""\n'
        'timezone: ""\nlog_level: ""\nstop_grace_period: ""\ngrpc_max_send_msg_size: ""\n'
        "triggers:\nbgworkers: []\n"
        'replication: {enabled: "false", cert_file: "", key_file: ""}\n'
    )
    assert (config.listen_port, config.grpc_listen_port) == (5993, None)
    assert (config.log_level, config.stop_grace_period) == ("info", 0)
    assert (config.replication.cert_file, config.triggers) == (None, [])


@pytest.mark.parametrize("level", ["INFO", "Warning", "${LEVEL}"])
def test_levels_may_have_capitals(load, level: str) -> None:
    assert load(f"root_directory: d\nlog_level: {level}", LEVEL="info").log_level == (
        "warning" if level == "Warning" else "info"
    )


def test_ports_and_sizes_may_be_quoted_as_in_old_files(load) -> None:
    text = 'root_directory: d\ngrpc_listen_port: "5995"\ngrpc_max_recv_msg_size: "512"\n'
    config = load(text)
    assert (config.grpc_listen_port, config.grpc_max_recv_msg_size) == (5995, 512)


@pytest.mark.parametrize("size", [0, 2048, -1, "big"])
def test_sizes_that_no_message_can_have_are_refused(load, size) -> None:
    with pytest.raises(ConfigError, match="grpc_max_send_msg_size"):
        load(f"root_directory: d\ngrpc_max_send_msg_size: {size}\n")


@pytest.mark.parametrize("key", sorted(IGNORED))
def test_every_key_of_marketstore_is_accepted(load, key: str) -> None:
    (notice, _) = load(f"root_directory: d\n{key}: x").notices
    assert f"mkts.yml:2: {key}: ignored: " in notice


def test_options_of_plugins_are_kept_until_they_are_used(load) -> None:
    config = load("root_directory: d\nbgworkers:\n- module: m\n  config: {api_key: '${UNSET_KEY}'}")
    section = config.bgworkers[0].config
    assert section is not None
    problems: list[str] = []
    section.plain(problems, {})
    assert "mkts.yml:4: bgworkers[0].config.api_key: environment variable UNSET_KEY" in problems[0]


def test_ports_may_be_text_and_booleans_quoted(load) -> None:
    config = load('root_directory: d\nlisten_port: "${P}"\ninsecure: "true"', P="6000")
    assert (config.listen_port, config.insecure) == (6000, True)


def test_a_level_may_be_called_warn(load) -> None:
    assert load("root_directory: d\nlog_level: warn").log_level == "warn"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listen_port: 1", "mkts.yml:1: root_directory is missing"),
        ("root_directory: ' '", "mkts.yml:1: root_directory: is empty"),
        ("root_directory: d\nlisten_port: 70000", "mkts.yml:2: listen_port: expected int <= 65535"),
        ("root_directory: d\nlisten_prot: 1", "did you mean listen_port?"),
        ("root_directory: d\ntoken_fle: t", "did you mean token_file?"),
        ("root_directory: d\ntoken: t", "did you mean token_file?"),
        ("root_directory: d\ntls_cert: t", "did you mean tls_certificate?"),
        ("root_directory: d\ntls: t", "did you mean tls_key?"),
        ("root_directory: d\ntrigers: []", "did you mean triggers?"),
        ("root_directory: d\nreplication: {enabeld: true}", "did you mean enabled?"),
        ("root_directory: d\nreplication: {quick: 1}", "there are enabled, listen_port, master"),
        ("root_directory: d\nlimits: {bytes: 1}", "limits.bytes: unknown key"),
        ("root_directory: d\ntimezone: Mars/Base", "mkts.yml:2: timezone: unknown time zone"),
        ("root_directory: d\nwal_sync: never", "wal_sync: expected one of always, interval, off"),
        ("root_directory: d\nbgworkers:\n- name: x", "mkts.yml:3: bgworkers[0]: module is missing"),
        ("root_directory: d\nbgworkers:\n- module: 5", "bgworkers[0]: module is not text"),
        ("root_directory: d\ntriggers:\n- module: s", "mkts.yml:3: triggers[0]: on is missing"),
        ("root_directory: d\nlimits: {threads: 0}", "limits.threads: expected int >= 1"),
        ("- a", "mkts.yml:1: not a mapping"),
    ],
)
def test_mistakes_name_file_line_and_key(load, text: str, message: str) -> None:
    assert message in error_of(load, text)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*mkts.yml.*tsstore init"):
        load_config(tmp_path / "mkts.yml")


def test_the_store_is_found_though_other_keys_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "mkts.yml"
    path.write_text("nonsense: ${UNSET}\nroot_directory: data\ntimezone: America/New_York\n")
    assert find_store(path) == StoreKeys("data", "America/New_York")


def test_a_file_without_a_root_directory_names_no_store(tmp_path: Path) -> None:
    path = tmp_path / "mkts.yml"
    path.write_text("listen_port: 1\n")
    assert find_store(path) == StoreKeys(None, None)


def test_a_secret_is_read_from_its_file(tmp_path: Path, caplog) -> None:
    path = tmp_path / "token"
    path.write_text("  SECRET123\n")
    path.chmod(0o600)
    assert read_secret(path, "token_file") == "SECRET123"
    assert not caplog.records


def test_a_secret_that_others_can_read_is_warned_about(tmp_path: Path, caplog) -> None:
    path = tmp_path / "token"
    path.write_text("SECRET123")
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        read_secret(path, "token_file")
    assert "chmod 600" in caplog.text
    assert "SECRET123" not in caplog.text


@pytest.mark.parametrize("contents", [None, b"", b" \n", b"\xff\xfe"])
def test_a_secret_that_cannot_be_read_is_an_error(tmp_path: Path, contents) -> None:
    path = tmp_path / "token"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ConfigError, match="token_file: "):
        read_secret(path, "token_file")


def test_replication_is_said_as_in_marketstore(load) -> None:
    found = load(
        "root_directory: d\nreplication: {master_host: 'a:7', retry_interval: 1m30s, "
        "retry_backoff_coeff: 3, tls_enabled: 'true', cert_file: x, key_file: y}"
    ).replication
    assert (found.master_url, found.retry_s, found.retry_backoff_coeff) == ("https://a:7", 90, 3)
    found = load("root_directory: d\nreplication: {master_host: a}").replication
    assert (found.master_url, found.retry_s) == ("http://a:5996", 10)
    found = load("root_directory: d\nreplication: {master_host: '[::1]'}").replication
    assert found.master_url == "http://[::1]:5996"
    assert load("root_directory: d\nreplication: {enabled: true}").replication.listen_port == 5996


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{enabled: true, master_host: 'a:7'}", "a replica cannot have replicas"),
        ("{retry_interval: soon}", "'soon' is no duration above 0; write 10s or 1m30s"),
        ("{retry_interval: 1.2.3s}", "is no duration"),
        ("{retry_interval: 0s}", "is no duration above 0"),
        ("{retry_backoff_coeff: 0.5}", "retry_backoff_coeff"),
        ("{listen_port: 70000}", "listen_port"),
    ],
)
def test_replication_that_cannot_be_is_named(load, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load(f"root_directory: d\nreplication: {text}")
