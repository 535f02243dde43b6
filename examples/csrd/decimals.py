"""How exact decimals are computed, written on the wire and shown to people."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

__all__ = ["canonical", "exact", "shown"]

_TRAPS = [decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero]


@contextmanager
def exact() -> Iterator[None]:
    """Within it a sum or product is exact to the last digit, or raises Inexact."""
    with decimal.localcontext(decimal.Context(prec=80, traps=_TRAPS)):
        yield


def canonical(value: Decimal) -> str:
    """Return the one spelling of a value: no exponent, no trailing zeros."""
    if value == 0:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(value: Decimal, places: int = 1) -> str:
    """Return a value for people: rounded half to even, thousands set apart."""
    return f"{value:,.{places}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
