"""A store at the other end of a connection: `tsstore.connect("http://127.0.0.1:5993")`.

- `aio`          the same for asyncio
- `store`        `RemoteStore`, which has the methods of the embedded store
- `feed`         the commits of the server, over a `websocket`
- `messages`, `pieces`  what its arguments and long reads become
- `rpc`          one call and its result
- `transport`    one request and its answer, with `connections` and `heartbeat`
- `address`      where the server is
"""

from tsstore.client.store import RemoteStore, connect

__all__ = ["RemoteStore", "connect"]
