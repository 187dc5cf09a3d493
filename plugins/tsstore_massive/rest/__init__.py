"""The vendor's REST service: typed, paged, patient, and never faster than the plan allows.

    with open_rest(api_key) as rest:                      # or RestClient(...), with all its parts
        for rows in rest.trades("AAPL", start_ns, end_ns):  # page by page, as columns
            ...
        for split in rest.splits("AAPL"):                   # one by one, as structs
            ...

One module each for bytes and tries (`transport`), lists of pages (`paging`), what answers say
(`replies`), rows (`decoding`, `models`), and what can be asked for (`marketdata`, `referencedata`).
"""

from __future__ import annotations

from tsstore_massive.rest.client import RestClient, open_rest
from tsstore_massive.rest.limits import Limits

__all__ = ["Limits", "RestClient", "open_rest"]
