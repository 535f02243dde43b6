"""What may start when: the order among steps, and which stretch runs as one chain.

A saga is a directed acyclic graph. A step may start as soon as its own
dependencies are completed; there are no levels that wait for each other. The pivot
starts only when every step that does not depend on it is completed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

from orchestration.core.saga.model import Direction, SagaStep, Teamwork

__all__ = ["MAX_STRETCH", "Plan", "find_cycle"]

# A chain's messages carry the rest of the chain, so a long one is quadratic in
# bytes; longer linear stretches go on with a new chain at their end.
MAX_STRETCH = 16


@dataclass(frozen=True)
class Plan:
    """The steps of one saga and the order among them; built once, asked often.

    Attributes:
        steps: In the definition's order.
        instances: The steps into which each step has been expanded that is done per
            item, or by several agents.
    """

    steps: tuple[SagaStep, ...]
    instances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def expanded(self, name: str, count: int) -> Plan:
        """Return the plan in which a step is done once per item, or per agent.

        ``charge`` becomes ``charge[0]``, ``charge[1]``, ..., with its own place among
        the others; ``charge`` itself comes after them and gathers their outputs.
        """
        base = self.by_name[name]
        before = self.parents[name]
        names = tuple(f"{name}[{at}]" for at in range(count))
        agents = base.agents or (base.agent_id,)
        in_turn = base.teamwork is Teamwork.IN_TURN
        steps: list[SagaStep] = []
        for step in self.steps:
            if step.name == name:
                action = base.target(Direction.DO)  # whatever the instance's name
                made = replace(
                    base, action=action, map=None, when=None, agents=(), teamwork=None
                )
                for at, one in enumerate(names):
                    agent = agents[at % len(agents)]
                    after = (
                        (*before, *names[max(0, at - 1) : at]) if in_turn else before
                    )
                    steps.append(
                        replace(made, name=one, agent_id=agent, depends_on=after)
                    )
                steps.append(replace(base, depends_on=(*before, *names)))
            else:
                steps.append(replace(step, depends_on=self.parents[step.name]))
        return Plan(tuple(steps), {**self.instances, name: names})

    @cached_property
    def places(self) -> Mapping[str, tuple[str, int]]:
        """Of each instance of a step: the step, and which item or agent it is for."""
        return {
            one: (name, at)
            for name, names in self.instances.items()
            for at, one in enumerate(names)
        }

    @cached_property
    def by_name(self) -> Mapping[str, SagaStep]:
        """Each step by its name."""
        return {step.name: step for step in self.steps}

    @cached_property
    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """What each step waits for: ``depends_on``, or list order if nobody has it."""
        if any(step.depends_on for step in self.steps):
            return {step.name: tuple(step.depends_on) for step in self.steps}
        names = [step.name for step in self.steps]
        before: list[tuple[str, ...]] = [(), *((name,) for name in names)]
        return dict(zip(names, before, strict=False))

    @cached_property
    def chosen(self) -> frozenset[str]:
        """Names of the steps whose agents are chosen by capability."""
        return frozenset(s.name for s in self.steps if s.capability is not None)

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """Which steps wait for each step, in list order."""
        out: dict[str, list[str]] = {name: [] for name in self.by_name}
        for step in self.steps:
            for parent in dict.fromkeys(self.parents[step.name]):
                out[parent].append(step.name)
        return {name: tuple(children) for name, children in out.items()}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Every step after all that it depends on; ties in list order (Kahn)."""
        left = {name: len(set(deps)) for name, deps in self.parents.items()}
        place = {name: at for at, name in enumerate(self.by_name)}
        out: list[str] = []
        ready = [name for name, count in left.items() if not count]
        while ready:
            out += ready
            freed = []
            for child in (c for name in ready for c in self.children[name]):
                left[child] -= 1
                if not left[child]:
                    freed.append(child)
            ready = sorted(freed, key=place.__getitem__)
        return tuple(out)

    @cached_property
    def ancestors(self) -> Mapping[str, frozenset[str]]:
        """Every step that must be completed before each step."""
        out: dict[str, frozenset[str]] = {}
        for name in self.order:
            direct = self.parents[name]
            out[name] = frozenset(direct).union(*(out[parent] for parent in direct))
        return out

    @cached_property
    def pivot(self) -> str | None:
        """Name of the point of no return, if the saga has one."""
        return next((step.name for step in self.steps if step.is_pivot), None)

    @cached_property
    def before_pivot(self) -> frozenset[str]:
        """Every step but the pivot and what depends on it; all, without a pivot."""
        names = frozenset(self.by_name)
        if self.pivot is None:
            return names
        after = {name for name in names if self.pivot in self.ancestors[name]}
        return names - after - {self.pivot}

    def ready(self, completed: Set[str]) -> tuple[str, ...]:
        """Return the steps whose own dependencies are all in ``completed``."""
        return tuple(
            name
            for name in self.order
            if name not in completed and self.needs(name) <= completed
        )

    def needs(self, name: str) -> Set[str]:
        """Return what must be completed before the step may start."""
        if name == self.pivot:
            return self.before_pivot
        return set(self.parents[name])

    def stretch(self, first: str, completed: Set[str]) -> tuple[str, ...]:
        """Return the linear run of steps from ``first``: what one chain may hold.

        It goes on while a step has one child only, and that child waits for
        nothing else and is an agent's to do whatever the data say.
        """
        out = [first]
        done = {*completed, first}
        while len(out) < MAX_STRETCH and len(self.children[out[-1]]) == 1:
            (child,) = self.children[out[-1]]
            if not self.needs(child) <= done or not self.is_plain(child):
                break
            out.append(child)
            done.add(child)
        return tuple(out)

    def limit_ms(self, name: str) -> int:
        """Return how long one attempt at the step may take, milliseconds."""
        step = self.by_name.get(name)  # none, if a message lied about its name
        return (step.timeout_ms or 0) if step else 0

    def is_plain(self, name: str) -> bool:
        """Whether the step is simply a named agent's action."""
        step = self.by_name[name]
        return not (
            step.is_waiting or step.when or step.map or step.agents or step.is_open
        )


def find_cycle(parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the names along one cycle, the first repeated at the end; or ()."""
    done: set[str] = set()
    for start in parents:
        path: list[str] = []
        stack = [(start, iter(parents[start]))] if start not in done else []
        path.extend(name for name, _ in stack)
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                path.pop()
                done.add(name)
            elif following in path:
                return (*path[path.index(following) :], following)
            elif following in parents and following not in done:
                stack.append((following, iter(parents[following])))
                path.append(following)
    return ()
