"""Celery tasks as an app has them, knowing nothing of sagas; effects are lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Task, shared_task


def _note(text: str) -> None:
    with Path(os.environ["EFFECTS_FILE"] + "-tasks").open("a") as file:
        file.write(text + "\n")


@shared_task
def charge(amount: int, currency: str = "EUR", *, idempotency_key: str) -> dict:
    """Take what it has parameters for, and the key."""
    _note(f"charge {amount} {currency} {idempotency_key}")
    return {"payment": f"{amount} {currency}"}


@shared_task
def refund(payment: str) -> None:
    """Undo a charge."""
    _note(f"refund {payment}")


@shared_task
def total(amounts: list[int]) -> int:
    """Return what is no dict."""
    return sum(amounts)


@shared_task(bind=True)
def patient(self: Task, word: str) -> dict[str, Any]:
    """Ask for another try at first, by its own countdown."""
    _note(f"patient {word} {self.request.retries}")
    if not self.request.retries:
        raise self.retry(countdown=0.3, exc=ValueError("not yet"))
    return {"tries": self.request.retries}


@shared_task(autoretry_for=(ValueError,), default_retry_delay=0, max_retries=None)
def never(word: str) -> None:
    """Fail whenever it is called."""
    _note(f"never {word}")
    raise ValueError("never")


@shared_task
def told(context: Any) -> dict[str, Any]:
    """Ask for the context of its step."""
    return {"saga": context.saga_id, "attempt": context.attempt}
