"""Whether a failed attempt is tried again, and after which wait."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["RetryPolicy", "backoff_ms", "is_list", "names_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a failed attempt is tried again.

    Attributes:
        max_attempts: Attempts in all, the first included; at least 1.
        backoff_ms: Wait before the second attempt, milliseconds.
        multiplier: Factor from one wait to the next; at least 1.0.
        max_backoff_ms: Longest wait, milliseconds.
        jitter: Share of the wait that varies, 0.0 (none) to 1.0, so that many
            failing sagas do not come back in step.
        non_retryable: Names of exception classes that end the step at once.
    """

    max_attempts: int = 3
    backoff_ms: int = 500
    multiplier: float = 2.0
    max_backoff_ms: int = 60_000
    jitter: float = 0.1
    non_retryable: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "non_retryable", names_of(self.non_retryable))

    @classmethod
    def of(cls, value: RetryPolicy | Mapping[str, Any] | None) -> RetryPolicy:
        """Return ``value`` as a policy; a mapping may name any of the fields.

        Raises:
            ValueError: It is no mapping, or has a key that is no field.
        """
        if value is None:
            return _DEFAULT
        if isinstance(value, RetryPolicy):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(  # noqa: TRY004  one kind of error for all that JSON can hold
                f"a retry policy is {reprlib.repr(value)}: give it an object"
            )
        if unknown := sorted({str(key) for key in value} - _FIELDS):
            raise ValueError(
                f"a retry policy has no {', '.join(unknown)}; it has "
                f"{', '.join(sorted(_FIELDS))}"
            )
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON; ``of`` reads it back."""
        given = {name: getattr(self, name) for name in _FIELDS}
        given["non_retryable"] = list(self.non_retryable)
        default = {name: getattr(_DEFAULT, name) for name in _FIELDS}
        default["non_retryable"] = []
        return {key: given[key] for key in sorted(given) if given[key] != default[key]}


def names_of(value: Sequence[str]) -> Sequence[str]:
    """Return names as a tuple; one name in place of a list is a common slip.

    What is neither stays as it is: ``checks`` tells of it, with all other faults.
    """
    if isinstance(value, str):
        return (value,)
    return tuple(value) if is_list(value) else value


def is_list(value: object) -> bool:
    """Whether a value is a list of things, rather than one thing."""
    return isinstance(value, Iterable) and not isinstance(value, str | Mapping)


def backoff_ms(policy: RetryPolicy, attempt: int, seed: str) -> int:
    """Return the wait after failed attempt number ``attempt``, milliseconds.

    Exponential with a cap; the jitter is drawn from a hash of ``seed`` and the
    attempt, so that every process that asks gets the same answer.

    Args:
        policy: The step's retry policy.
        attempt: Which attempt failed; 1 is the first.
        seed: What tells this step from others, such as its idempotency key.
    """
    # Beyond 64 doublings any cap is reached; the bound keeps the power finite.
    wait = policy.backoff_ms * policy.multiplier ** min(attempt - 1, 64)
    wait = min(wait, policy.max_backoff_ms)
    digest = hashlib.sha256(f"{seed}:{attempt}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return round(wait * (1 - policy.jitter * share))


_FIELDS = frozenset(f.name for f in fields(RetryPolicy))
_DEFAULT = RetryPolicy()
