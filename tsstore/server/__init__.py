"""The server: MarketStore's RPC over HTTP and gRPC, its stream, and tsstore's own RPC beside it.

- `settings` what an administrator sets
- `served`   what a store has to offer
- `params`   parameters of MarketStore's methods
- `service`  MarketStore's `DataService`
- `exact`    tsstore's `TsStore` service, for `tsstore.connect`
- `rpc`      bodies in, bodies out: decoding, dispatch, errors
- `access`   tokens, the roles they give, and what readers may call
- `guard`    who may speak to the server over HTTP: Host, Origin, token
- `stream`   the subscribers of /ws
- `metrics`  what /metrics shows
- `http`     the application
- `connection` limits on the head of a request
- `tls`      the certificate that all ports show
- `serve`    running the application in a thread
- `grpc`     MarketStore's service over gRPC
- `ports`    all of it together, as `tsstore start` runs it
"""
