"""The routes of a router: rules in their order, and static routes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

from orchestration.core.messaging.model import Message
from orchestration.core.routing.checks import rule_faults
from orchestration.core.routing.keys import conversation
from orchestration.core.routing.model import RouteRule, RoutingStrategy, Variant
from orchestration.core.routing.rules import RuleIndex
from orchestration.core.routing.split import Split
from orchestration.errors import InvalidRoute

__all__ = ["RouteTable", "static_name"]


def static_name(recipient_id: str) -> str:
    """Return the name that a static route goes by in decisions and errors."""
    return f"static:{recipient_id}"


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Where messages may go; a change makes another table.

    Attributes:
        rules: All rules, the highest priority first, equals as they were added.
        static: For messages that no rule takes: a rule by recipient.
        index: The same rules, as messages are matched against them.
        variants: Of each rule that splits: how, and the rule that each variant is.
    """

    rules: tuple[RouteRule, ...] = ()
    static: Mapping[str, RouteRule] = field(
        default_factory=lambda: MappingProxyType({})
    )
    index: RuleIndex = field(default_factory=RuleIndex, compare=False, repr=False)
    variants: Mapping[str, tuple[Split, Mapping[str, RouteRule]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def route(self, message: Message) -> RouteRule | None:
        """Return the rule that a message falls under, else its static route.

        Of a rule that splits it is the variant that the conversation belongs to.
        """
        rule = self.index.match(message) or self.static.get(message.recipient_id)
        if rule is None or not rule.split:
            return rule
        split, ways = self.variants[rule.name]
        return ways[split.variant(conversation(rule, message))]

    def strategy_of(self, name: str) -> str:
        """Return the strategy of a route by its name in decisions; empty if none."""
        ways = (way for _, some in self.variants.values() for way in some.values())
        for rule in (*self.rules, *self.static.values(), *ways):
            if rule.name == name:
                return str(rule.strategy)
        return ""

    @property
    def errors(self) -> Counter[str]:
        """How often the condition of each rule could not be evaluated."""
        return self.index.errors

    def with_rule(self, rule: RouteRule) -> Self:
        """Return a table that has one rule more.

        Raises:
            InvalidRoute: The rule is not sound, or its name is taken.
        """
        faults = [*rule_faults(rule)]
        if any(rule.name == other.name for other in self.rules):
            faults.append(
                f"there is a rule of that name: remove {rule.name!r} first, or give "
                "another name"
            )
        if faults:
            raise InvalidRoute(str(rule.name), faults)
        rules = sorted((*self.rules, rule), key=lambda one: -one.priority)
        return self._of(tuple(rules), self.static)

    def without_rule(self, name: str) -> Self:
        """Return a table without a rule; the same table if it has none of that name."""
        rules = tuple(rule for rule in self.rules if rule.name != name)
        return self if len(rules) == len(self.rules) else self._of(rules, self.static)

    def with_static(
        self,
        recipient_id: str,
        targets: Sequence[str],
        strategy: RoutingStrategy | str = RoutingStrategy.LEAST_LOADED,
    ) -> Self:
        """Return a table in which a recipient stands for agents.

        Raises:
            InvalidRoute: The targets or the strategy are not sound.
        """
        name = static_name(recipient_id)
        rule = RouteRule(name, targets=targets, strategy=strategy)
        if faults := rule_faults(rule):
            raise InvalidRoute(name, faults)
        return self._of(self.rules, {**self.static, recipient_id: rule})

    def without_static(self, recipient_id: str) -> Self:
        """Return a table without a static route; the same if there is none."""
        if recipient_id not in self.static:
            return self
        left = {key: rule for key, rule in self.static.items() if key != recipient_id}
        return self._of(self.rules, left)

    def _of(
        self, rules: tuple[RouteRule, ...], static: Mapping[str, RouteRule]
    ) -> Self:
        index, variants = self.index, self.variants
        if rules is not self.rules:
            index = RuleIndex(rules, self.index.errors)
            variants = {rule.name: _ways(rule) for rule in rules if rule.split}
        return type(self)(rules, MappingProxyType(dict(static)), index, variants)


def _ways(rule: RouteRule) -> tuple[Split, Mapping[str, RouteRule]]:
    """Return how a rule splits, and the rule that each variant is."""
    found = [one for one in rule.split if isinstance(one, Variant)]
    return Split(name=rule.name, weights={one.name: one.weight for one in found}), {
        one.name: replace(
            rule,
            name=f"{rule.name}:{one.name}",
            targets=one.targets,
            capability=one.capability,
            split=(),
        )
        for one in found
    }
