"""The arrays of a replica: the type of each, and what it holds for a free row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

__all__ = ["ARRAYS", "FREE"]

FREE: Final = -1
"""The status of a row without an agent."""

ARRAYS: Final[Mapping[str, tuple[Any, Any]]] = {
    "health": (np.float64, 0.0),
    "grade": (np.int16, 0),
    "load": (np.float64, 0.0),
    "cost": (np.float64, 0.0),
    "max_latency_ms": (np.float64, np.nan),
    "availability": (np.float64, np.nan),
    "last_seen": (np.float64, np.nan),
    "registered": (np.float64, np.nan),
    "location": (np.int32, 0),
    "code_version": (np.int32, 0),
    "status": (np.int8, FREE),
    "version": (np.int64, 0),
    "id_hash": (np.uint64, 0),
    "descriptor": (object, None),
    "region": (object, ""),
    "as_of": (object, None),
    "is_foreign": (np.bool_, False),
    "violations": (object, None),
    "hydrated": (object, None),
}
