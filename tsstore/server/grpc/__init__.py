"""MarketStore's gRPC service `proto.Marketstore`, on a port of its own.

The same `DataService` as behind /rpc answers; here are only its messages.

- `marketstore.proto` the messages; `make proto` writes `marketstore_pb2` from it
- `fields`   requests gone through before they are parsed, replies put together around their columns
- `messages` messages from and to what DataService takes and returns
- `service`  the methods: who may call them, limits, errors
- `serve`    running them in a thread

It needs the packages of the extra `grpc`.
"""
