"""The trigger `stream`: sends committed rows to the subscribers of /ws.

Rows of timeframes up to one minute go out as they are committed, every one of them. Of longer ones
the latest row goes out when its window ends, so that subscribers get each bar once and whole:

    triggers:
      - module: stream.so
        on: "*/*/*"
"""

from tsstore_stream.trigger import StreamConfig, Trigger

__all__ = ["StreamConfig", "Trigger"]
