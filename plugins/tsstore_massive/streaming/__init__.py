"""The socket's side of the worker: connections, what each carries, and rows into the store."""
