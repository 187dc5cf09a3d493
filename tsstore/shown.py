"""Values in messages, as people write them."""

from __future__ import annotations

import numpy as np


def shown(value: object) -> str:
    """The repr of a value, without what numpy wraps around it: 1.0 and not `np.float64(1.0)`."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        return str(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return repr(value)
