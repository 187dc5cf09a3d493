"""`python -m tsstore_massive` is `massive_backfiller`."""

from __future__ import annotations

from tsstore_massive.backfilling.cli import main

main()
