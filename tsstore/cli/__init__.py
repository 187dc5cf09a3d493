"""The command line `tsstore`. Each command is a module of its own, imported when it is run.

- `main`   the group, and what errors look like
- `locate` which store a command works on
- `output` rows as a table, CSV, JSON or Arrow
- `logs`   what `start` logs, and how
- `demo`, `demo_view`  the live demonstration behind `make run`
"""
