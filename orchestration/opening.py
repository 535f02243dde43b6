"""What all front doors share: they are opened, closed, and used with ``async with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Opened"]


class Opened(ABC):
    """Connects at the latest when ``async with`` is entered, and lets go at its end."""

    @abstractmethod
    async def initialize(self) -> None:
        """Connect; a second call does nothing."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of what was opened."""

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
