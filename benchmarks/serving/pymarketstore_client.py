"""Runs in pymarketstore's own environment: queries from stdin, what they took to stdout.

`python pymarketstore_client.py URL SECONDS ROWS` reads a list of destinations and limits as JSON.
"""

import json
import sys
import time
import warnings
from itertools import cycle
from time import perf_counter

warnings.simplefilter("ignore")

import pymarketstore as pymkt  # type: ignore[import-not-found]  # noqa: E402

url, seconds, rows = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
client = pymkt.Client(url)
queries = []
for destination, limit in json.load(sys.stdin):
    symbols, timeframe, group = destination.split("/")
    queries.append(pymkt.Params(symbols.split(","), timeframe, group, limit=limit or None))
assert len(client.query(queries[0]).first().array) == rows
latencies = []
cpu, begun = time.process_time(), perf_counter()
for query in cycle(queries):
    sent = perf_counter()
    client.query(query).first()
    latencies.append(perf_counter() - sent)
    if perf_counter() - begun > seconds:
        break
elapsed = perf_counter() - begun
sample = {"latencies_s": latencies, "elapsed_s": elapsed, "cpu_s": time.process_time() - cpu}
print(json.dumps({**sample, "unmeasured": 1}))
