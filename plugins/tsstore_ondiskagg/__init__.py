"""The trigger `ondiskagg`: keeps buckets of longer bars up to date with those they are made of.

    triggers:
      - module: ondiskagg.so
        on: "*/1Min/OHLCV"
        config:
          destinations: [5Min, 15Min, 1H, 1D]
          filter: nasdaq                # bars of days and longer: market hours of New York only

A stored bar is what a query computes when it is not stored; the bar of a window that is not over is
written again and again. What was written while no server ran is made up for at the next start: up
to which commit all is done stands in `_ondiskagg/24H/*_POSITION`.
"""

from tsstore_ondiskagg.options import OnDiskAggConfig
from tsstore_ondiskagg.trigger import Trigger

__all__ = ["OnDiskAggConfig", "Trigger"]
