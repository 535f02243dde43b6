"""Undos that failed for good, tried again by themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from orchestration.adapters.saga_index import DueLetter
from orchestration.core.saga.acts import Who
from orchestration.engine.acting import SagaDesk
from orchestration.errors import SagaActRefused

__all__ = ["letters_by_saga", "try_again"]

logger = logging.getLogger(__name__)

_BY = "beat"


def letters_by_saga(
    due: Iterable[DueLetter],
) -> Mapping[str, tuple[DueLetter, ...]]:
    """Return due letters by the saga whose undos they are."""
    found: dict[str, tuple[DueLetter, ...]] = {}
    for letter in due:
        found[letter.saga_id] = (*found.get(letter.saga_id, ()), letter)
    return found


def try_again(desk: SagaDesk, letters: Sequence[DueLetter]) -> bool:
    """Try the due undos of one saga again, as an operator would.

    They go together, since a saga that is undoing takes no second act; its others keep
    their own times.

    Returns:
        Whether they are being tried; if not, an operator was faster, or another beat.

    Raises:
        SagaNotFound: There are letters of a saga that does not exist.
    """
    saga_id = letters[0].saga_id
    due = {letter.step: letter.due_at for letter in letters}
    number = 1 + max(letter.tries for letter in letters)
    try:
        desk.retry_due(saga_id, Who(_BY, f"automatic try {number}"), due=due)
    except SagaActRefused as exc:
        logger.info("dead letter left alone: %s", exc)
        return False
    return True
