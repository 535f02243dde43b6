"""What errors have in common, and those that any part may raise."""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "EmbeddedServerError",
    "EmbeddedServerMissing",
    "InvalidCondition",
    "OrchestrationError",
    "PayloadTooLarge",
    "SchemaOutdated",
    "TransportError",
]


class OrchestrationError(Exception):
    """Base of every error here, for the caller's ``try``."""

    def __str__(self) -> str:
        # Others of the arguments are fields, there for the way between processes.
        return str(self.args[0]) if self.args else ""


class ConfigurationError(OrchestrationError):
    """A setting is missing or wrong; the text names it, its value and the fix."""


class SchemaOutdated(ConfigurationError):
    """The database lacks a migration that this version needs."""


class EmbeddedServerError(OrchestrationError):
    """A server or process of the embedded stack did not do what it was started for."""


class EmbeddedServerMissing(EmbeddedServerError):
    """There is no program to start: the extra is not installed, or not for here."""


class InvalidCondition(OrchestrationError):
    """A text is no condition; the error says where, and what a condition may hold.

    Attributes:
        text: The condition as it was given; empty if it was no text at all.
        position: The character at which it goes wrong; the first is 1.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(message, text, position)
        self.text = text
        self.position = position


class PayloadTooLarge(OrchestrationError):
    """A message or event is over its size limit, which the text names."""


class TransportError(OrchestrationError):
    """The broker or the database did not take a message; the text names which."""
