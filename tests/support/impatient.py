"""Imported by a worker, it has Redis give out again what is not acknowledged in 4 s."""

from __future__ import annotations

from tasks import app

VISIBILITY_TIMEOUT_S = 4

app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    "unacked_restore_interval": 1,
}
