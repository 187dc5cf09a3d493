"""`python -m tsstore_massive.doctor`."""

from __future__ import annotations

from tsstore_massive.doctor.cli import main

main()
