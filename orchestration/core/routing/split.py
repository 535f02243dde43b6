"""Which variant a key belongs to, and which messages are copied to a shadow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestration.core.messaging.model import Message
from orchestration.core.routing.bounds import between, refuse
from orchestration.core.routing.stable import unit, weighted_rendezvous

__all__ = ["Mirror", "Split", "is_mirrored"]

_MARK: Final = "mirror-"
_MIRROR_OF: Final = "mirror_of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Shares keys out among variants: a key keeps its variant, in every process.

    A change of weights moves only the keys that it must: those that the grown variants
    gain and the shrunk ones lose. It is a value, hence thread-safe.

    Attributes:
        name: Of the experiment; the same key stands elsewhere in another one.
        weights: Weight of each variant; only their ratios count, 0 gets nothing.
    """

    name: str
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        refuse(
            self,
            *(
                between(f"weight of {variant!r}", weight, 0)
                for variant, weight in self.weights.items()
            ),
            ()
            if any(weight > 0 for weight in self.weights.values())
            else (f"no variant of {self.name!r} has a weight: give one more than 0",),
        )
        object.__setattr__(self, "weights", dict(self.weights))

    def variant(self, key: str) -> str:
        """Return the variant of a key."""
        return weighted_rendezvous(self.name, key, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Copies a share of the messages to a target whose answers nobody gets.

    It is a value, hence thread-safe.

    Attributes:
        name: Of the mirror; another one copies other messages.
        target: Who gets the copies.
        share: Of the messages that are copied, 0.0-1.0.
    """

    name: str
    target: str
    share: float

    def __post_init__(self) -> None:
        refuse(self, between("share", self.share, 0, 1))

    def copy_of(self, message: Message) -> Message | None:
        """Return the copy to send beside a message; None: it is not to be copied.

        The message stays as it is. A message that is sent twice gives the same copy
        twice, by its id. The copy starts a conversation of its own, whose id tells what
        it is: so does every answer to it, see ``is_mirrored``.
        """
        if is_mirrored(message):
            return None
        if self.share < 1.0 and unit(self.name, message.message_id) >= self.share:
            return None
        own_id = f"{_MARK}{self.name}-{message.message_id}"
        return message.evolved(
            recipient_id=self.target,
            message_id=own_id,
            correlation_id=own_id,
            causation_id=message.message_id,
            headers={**message.headers, _MIRROR_OF: message.message_id},
        )


def is_mirrored(message: Message) -> bool:
    """Tell whether a message is a copy, or belongs to a copy's conversation.

    Such an answer is dropped and counted; a copy is not copied again.
    """
    return _MIRROR_OF in message.headers or (message.correlation_id or "").startswith(
        _MARK
    )
