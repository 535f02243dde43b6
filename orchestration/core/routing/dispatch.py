"""What the router sends, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestration.core.messaging.model import Message

__all__ = ["DISPATCH_HEADER", "DispatchResult", "copy_for"]

DISPATCH_HEADER = "dispatch_id"
"""Names the message that was dispatched, on each copy of it: what is done because of
one of them may be told from what another has done already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchResult:
    """What became of a dispatched message.

    Attributes:
        message_id: The message's.
        rule: The rule or route that it fell under; of a split with its variant.
        targets: The agents that it was sent to, in the order that they were.
        reply: The first answer to a REQUEST; of a BROADCAST: None.
        answered_by: Who gave it; empty if nobody did.
        replies: The answers to a REQUEST by agent, for BROADCAST more than one.
        errors: What went wrong with single agents.
        acked: How many agents have it surely: those that answered a REQUEST, and of
            anything else those whose copy the broker has confirmed.
        retries: How many further agents it was sent to since others failed.
        hedges: How many it was sent to since others took long.
        mirrored_to: Who gets a copy that nobody hears the answer of; empty: nobody.
        took_ms: From the call to the end, milliseconds.
    """

    message_id: str
    rule: str
    targets: tuple[str, ...]
    reply: Message | None = None
    answered_by: str = ""
    replies: Mapping[str, Message] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    acked: int = 0
    retries: int = 0
    hedges: int = 0
    mirrored_to: str = ""
    took_ms: float = 0.0


def copy_for(message: Message, agent_id: str, nth: int = 0) -> Message:
    """Return a message as it goes to an agent.

    Args:
        message: As it was given to the router.
        agent_id: Whom it goes to.
        nth: Which copy it is. The first keeps the id; others have one that is derived,
            so that whoever dispatches twice sends the same copies twice.
    """
    own_id = message.message_id
    headers = {**message.headers, DISPATCH_HEADER: own_id}
    if nth == 0:
        return message.evolved(recipient_id=agent_id, headers=headers)
    return message.evolved(
        recipient_id=agent_id,
        headers=headers,
        message_id=f"{own_id}:{nth}",
        causation_id=own_id,
    )
