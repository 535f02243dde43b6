"""The command line: ``orchestration …``, or ``python -m orchestration …``."""

from orchestration.cli.root import main

__all__ = ["main"]
