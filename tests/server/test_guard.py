"""Who may speak to the server: hosts, pages, tokens."""

from __future__ import annotations

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_ws

import tsstore
from tsstore.errors import ConfigError, ConnectionFailedError
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

TOKEN = "SECRET123"
PATHS = ["/rpc", "/heartbeat", "/metrics", "/ws", "/nope"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    settings = ServerSettings(port=0, token=TOKEN, allowed_origins=("http://quant.lan",))
    with tsstore.open(tmp_path_factory.mktemp("store")) as store:
        app = create_app(store, settings, hub=StreamHub())
        with serve(app, settings) as server:
            yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:5993", "[::1]:5993", "10.0.0.7"])
def test_addresses_and_localhost_are_served(http, host):
    assert http.get("/heartbeat", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:5993", "", "["])
@pytest.mark.parametrize("path", PATHS)
def test_other_hosts_are_refused(http, host, path):
    assert http.get(path, headers={"Host": host}).status_code == 403


def test_pages_of_others_are_refused(http):
    response = http.get("/heartbeat", headers={"Origin": "https://evil.example"})
    assert response.status_code == 403
    assert "allowed_origins" in response.text


def test_own_pages_are_served(http, server):
    assert http.get("/heartbeat", headers={"Origin": server.url}).status_code == 200


def test_allowed_pages_are_served(guarded):
    headers = {"Origin": "http://quant.lan", "Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(guarded.url + "/heartbeat", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_a_websocket_is_refused_like_a_request(server, headers):
    with pytest.raises(InvalidStatus, match="403"):
        connect_ws(server.url.replace("http", "ws") + "/ws", additional_headers=headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic !!", "Basic d3Jvbmc=", TOKEN]
)
def test_without_the_token_nothing_is_served(guarded, path, header):
    headers = {} if header is None else {"Authorization": header}
    response = httpx.get(guarded.url + path, headers=headers)
    assert response.status_code == 401
    assert TOKEN not in response.text


@pytest.mark.parametrize("auth", [("user", TOKEN), ("", TOKEN)])
def test_the_token_may_be_the_password_of_basic(guarded, auth):
    assert httpx.get(guarded.url + "/heartbeat", auth=auth).status_code == 200


def test_with_the_token_any_host_name_is_served(guarded):
    headers = {"Authorization": f"bearer {TOKEN}", "Host": "quant-server"}
    assert httpx.get(guarded.url + "/heartbeat", headers=headers).status_code == 200


def test_our_client_passes_the_token(guarded):
    with tsstore.connect(guarded.url, token=TOKEN) as store:
        assert store.list() == []
        assert TOKEN not in repr(store)


def test_our_client_takes_the_token_from_the_url(guarded):
    with tsstore.connect(guarded.url.replace("//", f"//me:{TOKEN}@")) as store:
        assert TOKEN not in repr(store)


def test_our_client_says_that_the_token_is_wrong(guarded):
    with pytest.raises(ConnectionFailedError, match="token") as caught:
        tsstore.connect(guarded.url, token="WRONG456")
    assert "WRONG456" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "quant.lan", ""])
def test_other_machines_need_a_token_or_a_word(host):
    with pytest.raises(ConfigError, match="token"):
        ServerSettings(host=host)
    ServerSettings(host=host, token=TOKEN)
    ServerSettings(host=host, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.1.2.3"])
def test_this_machine_needs_neither(host):
    settings = ServerSettings(host=host)
    assert (settings.token, settings.insecure) == (None, False)


def test_the_token_is_not_shown():
    assert TOKEN not in repr(ServerSettings(token=TOKEN))


@pytest.mark.parametrize("wrong", [{"token": ""}, {"tls_key": "key.pem"}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ConfigError):
        ServerSettings(**wrong)
