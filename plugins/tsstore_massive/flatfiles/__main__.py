"""`python -m tsstore_massive.flatfiles` is `massive_flatfiles`."""

from __future__ import annotations

from tsstore_massive.flatfiles.cli import main

main()
