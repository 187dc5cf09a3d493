"""What an administrator sets about the server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from tsstore.errors import ConfigError

MIB = 1024 * 1024


@dataclass(frozen=True)
class ServerSettings:
    """Where the server listens, who may speak to it, and how much one request may ask for.

    Attributes:
        host: address to listen on; beyond loopback it takes a token, or `insecure`.
        port: TCP port; 0 takes a free one.
        grpc_port: TCP port of gRPC; 0 takes a free one, None serves none.
        token: what clients send as `Authorization: Bearer`, or as the password of HTTP basic.
        read_token: the same for clients that may read and subscribe, and change nothing.
        insecure: serve other machines without a token.
        allowed_hosts: names in the Host header that are served besides localhost and addresses.
        allowed_origins: web pages whose requests are served, such as `http://quant.lan:8080`.
        tls_certificate: PEM file; with `tls_key` every port speaks TLS.
        tls_key: PEM file.
        body_bytes_max: largest request.
        reply_bytes_max: most column bytes that one request may read.
        grpc_receive_bytes_max: largest request over gRPC.
        grpc_send_bytes_max: largest answer over gRPC.
        requests_max: most requests inside one call.
        read_timeout_s: longest silence within a request. Over gRPC, which tells nothing of it, what
            a request may take besides a second for each MiB of the largest.
        write_timeout_s: longest time that a client reads nothing of what waits for it.
            Over gRPC, which tells nothing of it, what the answers under way on a connection may
            take besides a second for each MiB.
        connections_max: connections at one time; further ones get 503. Over gRPC, which carries
            many calls on one, also calls until their answers are read.
        threads: calls that are carried out at one time; further ones wait.
        long_calls: copies, compactions and backups that are carried out at one time, besides the
            others; further ones are refused.
        sql_calls: SQL statements that are carried out at one time, besides the others; further
            ones wait, or are refused while some go on beyond their time because DuckDB cannot end
            them inside a function. DuckDB gets as many threads.
        sql_memory_bytes: what these may use together, without what a function builds of a text.
        sql_time_s: longest time of one.
        sql_rows_max: most rows that one may answer.
        replication_port: TCP port for servers that follow this one; 0 takes a free one, None lets
            none follow.
        replicas: how many of them at one time.
        stream_queue_bytes: what a subscriber of /ws may fall behind before it is dropped.
        backup_directory: where backups that clients ask for are made; None refuses them.
    """

    host: str = "127.0.0.1"
    port: int = 5993
    grpc_port: int | None = None
    token: str | None = field(default=None, repr=False)
    read_token: str | None = field(default=None, repr=False)
    insecure: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    tls_certificate: str | None = None
    tls_key: str | None = None
    body_bytes_max: int = 256 * MIB
    reply_bytes_max: int = 1024 * MIB
    grpc_receive_bytes_max: int = 1024 * MIB
    grpc_send_bytes_max: int = 1024 * MIB
    requests_max: int = 1000
    read_timeout_s: float = 30.0
    write_timeout_s: float = 30.0
    connections_max: int = 1024
    threads: int = 8
    long_calls: int = 2
    sql_calls: int = 2
    sql_memory_bytes: int = 512 * MIB
    sql_time_s: float = 30.0
    sql_rows_max: int = 5_000_000
    replication_port: int | None = None
    replicas: int = 8
    stream_queue_bytes: int = 8 * MIB
    backup_directory: str | None = None

    def __post_init__(self) -> None:
        if "" in (self.token, self.read_token):
            raise ConfigError("the server's token is empty; set one, or leave the setting out")
        if self.read_token is not None and self.token in (None, self.read_token):
            raise ConfigError(
                "a token for readers needs another one for writers; set a token, or leave the "
                "token for readers out"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("TLS needs both a certificate and a key; set both, or neither")
        if not (self.token or self.insecure or is_loopback(self.host)):
            raise ConfigError(
                f"listening on {self.host!r} would let any machine read and write; set a token, "
                "or `insecure: true` if the network is closed, or listen on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
