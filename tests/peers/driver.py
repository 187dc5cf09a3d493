"""Runs inside the peer's own environment: executes snippets, one JSON line in, one out.

A snippet sees `pymkt`, `np`, `pd` and whatever earlier snippets left, and puts its result in `out`.
`null` in place of a snippet ends it.
"""

import json
import os
import sys
import traceback
import warnings

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pymarketstore as pymkt  # noqa: E402

names = {"pymkt": pymkt, "np": np, "pd": pd}
for line in sys.stdin:
    snippet = json.loads(line)
    if snippet is None:
        break
    names["out"] = None
    try:
        exec(snippet, names)
        reply = {"out": names["out"]}
    except Exception:
        reply = {"error": traceback.format_exc()}
    print(json.dumps(reply), flush=True)
os._exit(0)  # the threads of an old gRPC may keep the interpreter from ending for ever
