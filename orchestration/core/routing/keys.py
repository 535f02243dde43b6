"""What of a message a route goes by: its conversation, its content, its recipient."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from orchestration.core.messaging.model import Message
from orchestration.core.routing.model import RouteRule, RoutingStrategy

__all__ = ["content_of", "conversation", "direct_route"]

_CONTENT_KEY: Final = "task_type"
_CONTENT_BASED: Final = RoutingStrategy.CONTENT_BASED
_KEPT: Final = 10_000  # direct routes


def content_of(rule: RouteRule, message: Message) -> str:
    """Return the capability that a payload names; empty if none."""
    named = message.payload.get(rule.key or _CONTENT_KEY)
    return named if isinstance(named, str) else ""


def conversation(rule: RouteRule, message: Message) -> str:
    """Return what holds a message to an agent, or to a variant of a split.

    That is the payload's value under the rule's key, else the header
    ``affinity_key``, else the id that the messages of a conversation share.
    """
    if rule.key is not None and rule.strategy is not _CONTENT_BASED:
        value = message.payload.get(rule.key)
        if value is not None:
            return str(value)
    return message.headers.get("affinity_key") or str(message.correlation_id)


@lru_cache(maxsize=_KEPT)
def direct_route(recipient_id: str) -> RouteRule:
    """Return the route of messages to an agent by its id.

    It is the same object each time: candidates are kept for a rule, not for its like.
    """
    return RouteRule(
        f"direct:{recipient_id}",
        targets=(recipient_id,),
        strategy=RoutingStrategy.FAILOVER,
    )
