"""TLS on all ports with one certificate, which the test signs itself."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from pathlib import Path
from time import monotonic

import grpc
import httpx
import msgpack
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from websockets.sync.client import connect as connect_ws

import tsstore
from tsstore.errors import ConfigError, ConnectionFailedError, InvalidArgumentError
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

TOKEN = "SECRET123"
KEY = "AAPL/1Min/OHLCV"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Authority:
    """Somebody who signs certificates.

    Attributes:
        ca: file with the signer's own.
    """

    def __init__(self, folder):
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca)

    def settings(self, *names, **options):
        """Of a server that shows a certificate for these names."""
        made = self._ca.issue_cert(*names)
        certificate, key = (self._folder / f"{names[0]}.{part}" for part in ("crt", "key"))
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        return ServerSettings(
            port=0,
            grpc_port=0,
            tls_certificate=str(certificate),
            tls_key=str(key),
            **{"token": TOKEN, **options},
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def secure(authority, tmp_path_factory):
    settings = authority.settings("127.0.0.1", "localhost")
    hub = StreamHub()
    path = tmp_path_factory.mktemp("store")
    with tsstore.open(path) as store, Ports(store, settings, hub=hub) as ports:
        store.write(KEY, {"Epoch": [60], "Close": [1.5]})
        store.announce(ports.url)
        yield ports, hub, path


@pytest.fixture
def ports(secure):
    return secure[0]


@pytest.fixture
def trusting(authority):
    return ssl.create_default_context(cafile=authority.ca)


def test_http_is_spoken(ports, trusting):
    assert ports.url.startswith("https://127.0.0.1:")
    response = httpx.get(f"{ports.url}/heartbeat", headers=BEARER, verify=trusting)
    assert response.json()["status"] == "queryable"
    assert httpx.get(f"{ports.url}/heartbeat", verify=trusting).status_code == 401


def test_the_stream_is_spoken(secure, trusting):
    ports, hub, _ = secure
    address = ports.url.replace("https", "wss") + "/ws"
    with connect_ws(address, ssl=trusting, additional_headers=BEARER) as stream:
        stream.send(msgpack.packb({"streams": ["*/*/*"]}))
        stream.recv(timeout=30)
        hub.publish(KEY, {"Epoch": 60, "Close": 1.5})
        assert msgpack.unpackb(stream.recv(timeout=30))["key"] == KEY


def test_grpc_is_spoken(ports, authority):
    credentials = grpc.ssl_channel_credentials(Path(authority.ca).read_bytes())
    with grpc.secure_channel(ports.grpc_target, credentials) as channel:
        call = channel.unary_unary("/proto.Marketstore/ListSymbols")
        listed = call(b"", metadata=(("authorization", f"Bearer {TOKEN}"),))
        assert listed.startswith(b"\x0a\x04AAPL")
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            call(b"")


def test_our_client_is_told_whom_to_trust(ports, authority):
    with tsstore.connect(ports.url, token=TOKEN, ca=authority.ca) as store:
        assert store.read(KEY)["Close"].tolist() == [1.5]


def test_a_signer_that_is_not_known_is_not_trusted(ports):
    with pytest.raises(ConnectionFailedError, match=r"not trusted .*; .* ca=") as caught:
        tsstore.connect(ports.url, token=TOKEN)
    assert TOKEN not in str(caught.value)


def test_plain_http_and_grpc_get_nothing(ports):
    with pytest.raises(ConnectionFailedError):
        tsstore.connect(ports.url.replace("https", "http"), token=TOKEN, timeout_s=5)
    with grpc.insecure_channel(ports.grpc_target) as channel:
        call = channel.unary_unary("/proto.Marketstore/ListSymbols")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_versions_of_tls_that_are_broken_are_not_spoken(ports, trusting, recwarn):
    trusting.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{ports.url}/heartbeat", verify=trusting)
    recwarn.clear()


READER = """
import sys, tsstore
with tsstore.open_shared(sys.argv[1], token=sys.argv[2], ca=sys.argv[3]) as store:
    store.write("B/1Min/X", {"Epoch": [60], "P": [2.5]})
    print(store.list("B/*/*"))
"""


def test_another_process_finds_the_server_by_its_directory(secure, authority):
    command = [sys.executable, "-c", READER, str(secure[2]), TOKEN, authority.ca]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "['B/1Min/X']\n", done.stderr


def test_commands_are_told_whom_to_trust(secure, authority, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    command = [sys.executable, "-m", "tsstore", "create", "C/1Min/X", "P:f8"]
    command += ["--dir", str(secure[2]), "--token-file", str(token)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 5
    assert "--ca-file" in refused.stderr
    command += ["--ca-file", authority.ca]
    subprocess.run(command, check=True)


def test_a_certificate_of_another_name_is_refused_with_what_to_do(authority, tmp_path):
    settings = authority.settings("quant.lan")
    with (
        tsstore.open(tmp_path) as store,
        Ports(store, settings, hub=StreamHub()) as ports,
        pytest.raises(ConnectionFailedError, match="connect by a name that stands in it"),
    ):
        tsstore.connect(ports.url, token=TOKEN, ca=authority.ca)


def test_trusting_somebody_for_plain_http_is_a_mistake(authority):
    with pytest.raises(InvalidArgumentError, match="https"):
        tsstore.connect("http://127.0.0.1:1", ca=authority.ca)


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_file_without_certificates_is_refused(tmp_path, text):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=r"ca .* cannot be used"):
        tsstore.connect("https://127.0.0.1:1", ca=path)


def swapped(settings, authority):
    return settings.tls_certificate, authority.settings("other.lan").tls_key


def encrypted(settings, _):
    path = Path(settings.tls_key)
    key = load_pem_private_key(path.read_bytes(), None)
    cipher = BestAvailableEncryption(b"password")
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher))
    return settings.tls_certificate, settings.tls_key


def missing(settings, _):
    return settings.tls_certificate + ".old", settings.tls_key


def the_other_way_round(settings, _):
    return settings.tls_key, settings.tls_certificate


@pytest.mark.parametrize("change", [swapped, encrypted, missing, the_other_way_round])
def test_a_pair_that_cannot_be_used_is_refused_at_the_start(authority, tmp_path, change):
    certificate, key = change(authority.settings("wrong.lan"), authority)
    settings = ServerSettings(port=0, token=TOKEN, tls_certificate=certificate, tls_key=key)
    with tsstore.open(tmp_path) as store, pytest.raises(ConfigError, match="tls_certificate"):
        Ports(store, settings, hub=StreamHub())


def test_handshakes_that_are_not_finished_keep_nobody_waiting(ports, trusting, authority):
    addresses = [ports.url.removeprefix("https://"), ports.grpc_target]
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    peers = []
    for host, port in (address.split(":") for address in addresses * 50):
        peers.append(socket.create_connection((host, int(port))))
        peers[-1].sendall(hello)
    began = monotonic()
    response = httpx.get(f"{ports.url}/heartbeat", headers=BEARER, verify=trusting)
    credentials = grpc.ssl_channel_credentials(Path(authority.ca).read_bytes())
    with grpc.secure_channel(ports.grpc_target, credentials) as channel:
        call = channel.unary_unary("/proto.Marketstore/ServerVersion")
        call(b"", metadata=(("authorization", f"Bearer {TOKEN}"),), timeout=10)
    assert response.status_code == 200
    assert monotonic() - began < 20
    for peer in peers:
        peer.close()
