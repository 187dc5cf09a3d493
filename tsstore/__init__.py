"""tsstore: an embedded, columnar time-series store for market data."""
