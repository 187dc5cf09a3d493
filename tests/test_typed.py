"""Types that threads decode to for the first time, all at once."""

from __future__ import annotations

import subprocess
import sys

THREADS = """
import sys, threading
import msgspec
from tsstore.typed import whole

sys.setswitchinterval(1e-6)
body = b"{" + b",".join(b'"f%d":{"x":1.5}' % n for n in range(20)) + b"}"

def decode(kind):
    begin.wait()
    assert msgspec.json.decode(body, type=whole(kind)).f19.x == 1.5

for _ in range(100):
    part = msgspec.defstruct("Part", [("x", float)])
    kind = msgspec.defstruct("Whole", [(f"f{n}", part | None, None) for n in range(20)])
    begin = threading.Barrier(4)
    threads = [threading.Thread(target=decode, args=(kind,)) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def test_threads_that_decode_to_a_new_type_at_once_survive_it() -> None:
    subprocess.run([sys.executable, "-c", THREADS], check=True, timeout=60)
