"""Who asks for something: by default the user of this process."""

from __future__ import annotations

import getpass
import os
import socket

from orchestration.core.saga.acts import Who

__all__ = ["who"]


def who(by: str, why: str) -> Who:
    """Return who acts: by default the user of this process."""
    return Who(by or f"{_user()}@{socket.gethostname()}", why)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
