"""Runs inside the peer's own environment: executes snippets, one JSON line in, one out.

A snippet sees `pymkt`, `np`, `pd` and whatever earlier snippets left, and puts its result in `out`.
"""

import json
import sys
import traceback
import warnings

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pymarketstore as pymkt  # noqa: E402

names = {"pymkt": pymkt, "np": np, "pd": pd}
for line in sys.stdin:
    names["out"] = None
    try:
        exec(json.loads(line), names)
        reply = {"out": names["out"]}
    except Exception:
        reply = {"error": traceback.format_exc()}
    print(json.dumps(reply), flush=True)
