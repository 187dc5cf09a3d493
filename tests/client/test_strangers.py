"""A client that is led to a wrong port is told who is there, and where to go."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import trustme

import tsstore
from tsstore.client.websocket import BrokenOffError, RefusedError, WebSocket
from tsstore.errors import ConnectionFailedError
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

GRPC = "is a port of gRPC; name the port of /rpc (listen_port in mkts.yml, 5993 if it is not set)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strangers")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "pem"))
    return folder


@pytest.fixture(scope="module", params=["plain", "tls"])
def ports(request, folder):
    pem = str(folder / "pem") if request.param == "tls" else None
    settings = ServerSettings(
        port=0, grpc_port=0, replication_port=0, tls_certificate=pem, tls_key=pem
    )
    with (
        tsstore.open(folder / request.param) as store,
        Ports(store, settings, hub=StreamHub()) as ports,
    ):
        yield ports


def failure(url: str, **options) -> str:
    with pytest.raises(ConnectionFailedError) as caught:
        tsstore.connect(url, timeout_s=10, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


def ca_of(url: str, folder) -> dict[str, str]:
    return {"ca": str(folder / "ca.pem")} if url.startswith("https") else {}


def test_the_port_of_grpc(ports, folder) -> None:
    url = f"{ports.url.partition(':')[0]}://{ports.grpc_target}"
    assert failure(url, **ca_of(url, folder)) == f"{url} {GRPC}"


def test_the_port_of_grpc_with_tls_asked_without(ports) -> None:
    url = f"http://{ports.grpc_target}"
    assert failure(url) == f"{url} {GRPC}"


def test_a_scheme_for_the_other(ports, folder) -> None:
    is_tls = ports.url.startswith("https")
    other = "http" if is_tls else "https"
    url = f"{other}://{ports.url.partition('://')[2]}"
    speaks = "speaks TLS" if is_tls else "speaks no TLS"
    assert failure(url, **ca_of(url, folder)) == f"{url} {speaks}; write {ports.url}"


def test_the_port_of_replicas_serves_clients_as_well(ports, folder) -> None:
    url = ports.replication_url
    with tsstore.connect(url, **ca_of(url, folder)) as remote:
        assert remote.list() == []


def test_another_http_server() -> None:
    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        said = failure(url)
        server.shutdown()
    assert said.startswith(f"{url} is no tsstore server (it answers 404 Not Found); name the port")


@pytest.mark.parametrize(
    ("greeting", "shown"),
    [(b"SSH-2.0-OpenSSH_9.2\r\n", "('SSH-2.0-OpenSSH_9.2')"), (b"\x05\x00\xff\n", "HTTP;")],
)
def test_another_program(greeting, shown) -> None:
    said = failure_of(greeting)
    assert "speaks no HTTP" in said
    assert shown in said


def failure_of(answer: bytes) -> str:
    """What a client says of a program that answers so."""

    def greet() -> None:
        with suppress(OSError):  # the listener is shut down in the end
            while True:  # a connection that breaks is tried again
                answered(listener.accept()[0])

    def answered(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may leave before it has heard it all
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet)
        thread.start()
        try:
            return failure(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0" + b"A" * 50_000 + b"\r\n",
        b"HTTP/1.1 404 \x1b]0;mine\x07\x1b[31m" + b"A" * 50_000 + b"\r\n\r\n",
        b"HTTP/1.1 500 no\r\n\r\n\x1b[2J\x1b[1m" + b"A" * 50_000,
        b"HTTP/9\x1b[31m" + b"A" * 50_000 + b" 200 OK\r\n\r\n",
        b"HTTP/1.1 401 \x1b\r\n\r\n",
    ],
    ids=["greeting", "reason", "body", "version", "token"],
)
def test_what_a_stranger_says_neither_steers_the_terminal_nor_fills_it(answer) -> None:
    said = failure_of(answer)
    assert said.isprintable()
    assert len(said) < 300


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\n\r\n\x1b[2J" + b"A" * 50_000,
        b"HTTP/1.1 101 Switching\r\nUpgrade: \x1b[2J" + b"A" * 5_000 + b"\r\n\r\n",
    ],
    ids=["refusal", "handshake"],
)
def test_nor_does_one_in_place_of_the_feed(answer) -> None:
    client, server = socket.socketpair()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = client
    with server, closing(connection):
        server.sendall(answer)
        server.shutdown(socket.SHUT_WR)
        with pytest.raises((RefusedError, BrokenOffError)) as caught:
            WebSocket(connection, "ws://localhost/feed", {}, 10)
    said = str(caught.value.args[-1])
    assert said
    assert said.isprintable()
    assert len(said) <= 200
