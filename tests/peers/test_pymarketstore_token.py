"""docs/migrating.md: pymarketstore with a server that asks for a token, as the guide says."""

from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from .conftest import CONFIG, serving

pytestmark = pytest.mark.peers

GUIDE = Path(__file__).parents[2] / "docs" / "migrating.md"
TOKEN = "of-this-test"
# Writes until the stream is there, and ends it with the first message.
AROUND = """
import threading
import numpy as np

row = np.array([(1_719_844_200, 1.5)], dtype=[("Epoch", "i8"), ("Close", "f8")])
arrived = threading.Event()

def print(key, data):
    arrived.set()
    raise SystemExit(f"{key} {data['Close']}")

def feed():
    while not arrived.wait(0.02):
        client.write(row, "A/1Min/OHLCV")
"""


@pytest.mark.parametrize(("token", "told"), [(TOKEN, "A/1Min/OHLCV 1.5"), ("another", "401")])
def test_the_guide_sends_the_token(environment, tmp_path, token, told) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    text = CONFIG.format(root=tmp_path / "data") + f"token_file: {tmp_path / 'token'}\n"
    (block,) = re.findall(
        r"```python\n(import pymarketstore\n.*?)```", GUIDE.read_text(), re.DOTALL
    )
    with serving(tmp_path, text) as url:
        block = block.replace("127.0.0.1:5993", url.removeprefix("http://")).replace("...", token)
        started = "threading.Thread(target=feed, daemon=True).start()\nstream.run"
        script = AROUND + textwrap.dedent(block).replace("stream.run", started)
        done = subprocess.run(
            [environment, "-W", "ignore", "-c", script],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert told in done.stderr
