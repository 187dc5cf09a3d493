"""`python -m benchmarks.serving`: a server, called by many clients at the same time.

- `work`         what is stored, and the calls
- `wire`         a call as msgpack over HTTP and as a message of gRPC
- `http_client`, `library_clients`  who calls
- `subscribers`  who listens on /ws
- `measure`      one workload after the other, on one server
- `report`       the table
"""
