"""Bytes on the network to values and back; no I/O.

- `codec`    msgpack and JSON bodies, with limits against hostile ones
- `envelope` requests, results and errors of JSON-RPC 2.0
- `dataset`  MarketStore's datasets and request parameters
- `exact`    tsstore's own messages: columns, schemas, operations and exceptions, nothing lost
"""
