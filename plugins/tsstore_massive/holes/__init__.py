"""Holes in the bars of market days, and why they are there: `tsstore gaps`.

- `grid`      which bars there could be
- `reasons`   why one is not there
- `evidence`  what the store knows of that
- `verdicts`  from evidence to reasons, all missing bars of a symbol at once
- `vendor`    what the vendor says of the rest
- `command`   the command
"""
