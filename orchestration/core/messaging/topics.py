"""Topics and patterns of topics, word by word.

A topic is words between dots, as ``orders.eu.created``. In a pattern ``*`` stands for
one word and ``#`` for any number of words, none among them: as RabbitMQ has it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from orchestration.errors import InvalidTopic

__all__ = ["check_pattern", "check_topic", "matches", "redis_glob"]

_TOPIC = re.compile(r"[\w-]+(\.[\w-]+)*")
_PATTERN = re.compile(r"([\w-]+|\*|#)(\.([\w-]+|\*|#))*")
_MAX_CHARS = 255


def check_topic(topic: str) -> str:
    """Return a topic.

    Raises:
        InvalidTopic: It is none.
    """
    if len(topic) > _MAX_CHARS or not _TOPIC.fullmatch(topic):
        raise InvalidTopic(
            f"topic {topic!r}: use words of letters, digits, '_' and '-' between dots, "
            f"at most {_MAX_CHARS} characters"
        )
    return topic


def check_pattern(pattern: str) -> str:
    """Return a pattern of topics.

    Raises:
        InvalidTopic: It is none.
    """
    if len(pattern) > _MAX_CHARS or not _PATTERN.fullmatch(pattern):
        raise InvalidTopic(
            f"pattern {pattern!r}: use words between dots, '*' for any one word and "
            f"'#' for any number of words, at most {_MAX_CHARS} characters"
        )
    return pattern


def matches(pattern: str, topic: str) -> bool:
    """Return whether a pattern stands for a topic."""
    return _compiled(pattern).fullmatch("." + topic) is not None


def redis_glob(pattern: str) -> str:
    """Return a glob of Redis for at least what a pattern stands for.

    Redis' ``*`` knows no words, so what it lets through has to be looked at again.
    """
    head = re.split(r"\.?[*#]", pattern, maxsplit=1)[0]
    return head if head == pattern else f"{head}*"


@lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # A dot before each word: '#' may then stand for none of them and leave no dot.
    words = {"*": r"\.[\w-]+", "#": r"(?:\.[\w-]+)*"}
    parts = (words.get(word, r"\." + re.escape(word)) for word in pattern.split("."))
    return re.compile("".join(parts))
