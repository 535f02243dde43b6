"""Which sagas an act is for: one by its id, or all that a query finds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.options import attributes_of, finding

if TYPE_CHECKING:
    from orchestration.adapters.saga_index import SagaSummary
    from orchestration.saga_client import SagaClient

__all__ = ["Choice", "choosing"]

_PAGE = 500
_FIELDS = ("all_matching", "limit", "yes", "dry_run", "by", "why", "as_json")
_FILTERS = ("state", "name", "attributes", "started_after", "started_before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was said of which sagas to act upon, how, and for whom.

    Attributes:
        filters: What the sagas have to be like, as ``SagaClient.find`` takes it.
        limit: At most so many of them, the newest; None: all.
        yes: Whether not to ask before acting upon many.
        dry_run: Whether to show only what would be acted upon.
        by: Who asks; empty: the user of this process.
    """

    filters: Mapping[str, Any]
    all_matching: bool
    limit: int | None
    yes: bool
    dry_run: bool
    by: str
    why: str
    as_json: bool

    def check(self, saga_id: str | None) -> None:
        """See that either one saga is named, or a query.

        Raises:
            click.UsageError: Neither, or both.
        """
        if saga_id is None and not self.all_matching:
            raise click.UsageError("name a saga by its ID, or many by --all-matching")
        if saga_id is not None and self.all_matching:
            raise click.UsageError("an ID and --all-matching exclude each other")
        if self.all_matching and not self.filters:
            raise click.UsageError(
                "--all-matching needs something to match: --state, --name, "
                "--attribute, --started-after or --started-before"
            )
        if not self.all_matching and (self.filters or self.limit is not None):
            raise click.UsageError("--state and its like go with --all-matching")

    def find(self, sagas: SagaClient, states: Sequence[str]) -> tuple[SagaSummary, ...]:
        """Return the sagas that the query finds, newest first.

        Args:
            sagas: Where to look.
            states: In which states the act may fit, for a query that names none;
                empty: in any.
        """
        chosen = [self.filters]
        if "state" not in self.filters and states:
            chosen = [{**self.filters, "state": state} for state in states]
        found = [one for filters in chosen for one in self._pages(sagas, filters)]
        found.sort(key=lambda one: (one.started_at, one.saga_id), reverse=True)
        return tuple(found[: self.limit])

    def _pages(
        self, sagas: SagaClient, filters: Mapping[str, Any]
    ) -> Iterator[SagaSummary]:
        after, left = None, self.limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = sagas.find(**filters, after=after, limit=size)
            yield from page
            if len(page) < size:
                return
            after, left = page[-1], left if left is None else left - size


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every act; it gets them as ``choice``."""

    @functools.wraps(command)
    def with_choice(**given: Any) -> None:  # noqa: ANN401 - what click hands over
        filters = {name: given.pop(name) for name in _FILTERS}
        filters["attributes"] = attributes_of(filters["attributes"])
        own = {name: given.pop(name) for name in _FIELDS}
        wanted = {name: value for name, value in filters.items() if value}
        command(choice=Choice(filters=wanted, **own), **given)

    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--by", default="", help="Who asks.  [default: user@host]"),
        click.option("--why", default="", help="For the record."),
        click.option("--yes", is_flag=True, help="Act upon many without asking."),
        click.option("--dry-run", is_flag=True, help="Show what would be acted upon."),
        click.option(
            "--limit", type=click.IntRange(min=1), help="The newest N of them only."
        ),
    ):
        with_choice = option(with_choice)
    with_choice = finding(with_choice)
    many = "All sagas that these options find, in place of one by its ID."
    return click.option("--all-matching", is_flag=True, help=many)(with_choice)
