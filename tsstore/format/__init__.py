"""Bytes to values and back, as FORMAT.md describes them. No files, clocks, threads or logging."""
