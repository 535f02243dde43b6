"""What goes wrong with servers and processes of the embedded stack."""

from __future__ import annotations


class EmbeddedServerError(Exception):
    """A server or process of the embedded stack did not do what it was started for."""


class EmbeddedServerMissing(EmbeddedServerError):
    """There is no program to start: the extra is not installed, or not for here."""
