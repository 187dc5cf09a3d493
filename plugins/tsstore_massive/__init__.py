"""Massive.com (formerly Polygon.io): streaming worker, REST client, backfiller."""

from __future__ import annotations

from tsstore_massive.rest import RestClient, open_rest
from tsstore_massive.worker import Worker

__all__ = ["RestClient", "Worker", "open_rest"]
