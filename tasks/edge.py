"""Where a chore goes on with the next saga, whatever was wrong with the last."""

from __future__ import annotations

import logging
from collections.abc import Callable

from orchestration.errors import TransportError

__all__ = ["each"]

logger = logging.getLogger(__name__)


def each(what: str, work: Callable[[], object]) -> bool:
    """Do the work for one of many; return whether it went well.

    Args:
        what: Names the one in the log.
        work: Is called once.

    Raises:
        TransportError: It concerns all of them.
    """
    try:
        work()
    except TransportError:
        raise
    except Exception:  # the edge: it is logged, and looked at again later
        logger.exception("%s", what)
        return False
    return True
