"""`massive_doctor`: what keeps a worker, a backfill or flat files from working, and what to do.

Each module looks at one thing and yields findings: `machine` (options, disk, store), `service`
(REST, and with it the key, the plan and the clock), `stream` (the socket), `files` (S3).
"""
