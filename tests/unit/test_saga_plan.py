"""What may start when, on random graphs."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.saga.model import SagaStep
from orchestration.core.saga.plan import MAX_STRETCH, Plan, find_cycle
from tests.unit.sagas import graphs, transactions
from tests.unit.scripted import step


def plan_of(*steps: SagaStep) -> Plan:
    return Plan(tuple(steps))


def test_without_dependencies_list_order_is_the_order() -> None:
    plan = plan_of(step("a"), step("b"), step("c"))
    assert plan.parents == {"a": (), "b": ("a",), "c": ("b",)}
    assert plan.order == ("a", "b", "c")
    assert plan.stretch("a", set()) == ("a", "b", "c")


def test_with_dependencies_a_step_without_one_is_a_root() -> None:
    plan = plan_of(step("b", "a"), step("c"), step("a"))
    assert plan.ready(set()) == ("c", "a")
    assert plan.order == ("c", "a", "b")
    assert plan.children == {"b": (), "c": (), "a": ("b",)}


def test_a_dependency_named_twice_counts_once() -> None:
    plan = plan_of(step("a"), step("b", "a", "a"))
    assert plan.order == ("a", "b")
    assert plan.stretch("a", set()) == ("a", "b")


def test_a_stretch_ends_at_a_fan_out_and_before_an_open_join() -> None:
    plan = plan_of(
        step("a"), step("b", "a"), step("c", "b"), step("d", "b"), step("e", "c", "d")
    )
    assert plan.stretch("a", set()) == ("a", "b")
    assert plan.stretch("c", {"a", "b"}) == ("c",)
    assert plan.stretch("d", {"a", "b", "c"}) == ("d", "e")


def test_a_stretch_is_bounded() -> None:
    plan = plan_of(*(step(f"s{n}") for n in range(40)))
    assert len(plan.stretch("s0", set())) == MAX_STRETCH


def test_a_stretch_does_not_run_into_a_pivot_that_waits_for_others() -> None:
    plan = plan_of(step("a"), step("aside"), step("p", "a", is_pivot=True))
    assert plan.before_pivot == {"a", "aside"}
    assert plan.stretch("a", set()) == ("a",)
    assert plan.stretch("a", {"aside"}) == ("a", "p")


def test_without_a_pivot_every_step_is_before_it() -> None:
    assert plan_of(step("a"), step("b")).before_pivot == {"a", "b"}


def test_a_fan_out_of_a_thousand_steps_is_planned_step_by_step() -> None:
    steps = [step(f"s{n}") for n in range(999)]
    plan = plan_of(*steps, step("join", *(s.name for s in steps)))
    ready = plan.ready(set())
    assert {len(plan.stretch(name, set())) for name in ready} == {1}
    assert plan.stretch("s998", {s.name for s in steps[:-1]}) == ("s998", "join")


@given(graphs(10))
def test_the_order_puts_each_step_after_all_its_ancestors(
    steps: list[SagaStep],
) -> None:
    plan = plan_of(*steps)
    place = {name: at for at, name in enumerate(plan.order)}
    assert sorted(place) == sorted(plan.by_name)
    for name, parents in plan.parents.items():
        assert plan.ancestors[name] >= set(parents)
        assert all(place[other] < place[name] for other in plan.ancestors[name])
        assert all(name in plan.children[parent] for parent in parents)


@given(transactions(9), st.integers(0, 2**32 - 1))
def test_sending_what_became_ready_sends_every_step_once(
    transaction: object, seed: int
) -> None:
    plan = Plan(tuple(transaction.steps))  # type: ignore[attr-defined]
    random = Random(seed)
    done: set[str] = set()
    sent: list[str] = []
    lines = [list(plan.stretch(name, done)) for name in plan.ready(done)]
    while lines:
        flat = [name for line in lines for name in line]
        assert len(flat) == len(set(flat)), "lines sent together are disjoint"
        line = random.choice(lines)
        name = line.pop(0)
        if not line:
            lines.remove(line)
        assert plan.needs(name) <= done, "ready only after its own dependencies"
        if name == plan.pivot:
            assert done == plan.before_pivot
        sent.append(name)
        before = set(plan.ready(done))
        done.add(name)
        fresh = [n for n in plan.ready(done) if n not in before]
        if line:
            assert fresh == [line[0]], "a stretch is what follows, and nothing else"
        else:
            lines += [list(plan.stretch(n, done)) for n in fresh]
    assert sorted(sent) == sorted(plan.by_name)


@given(graphs(8))
def test_a_graph_of_earlier_steps_only_has_no_cycle(steps: list[SagaStep]) -> None:
    assert find_cycle(plan_of(*steps).parents) == ()


def test_a_cycle_behind_a_tail_is_found_and_closed() -> None:
    assert find_cycle({"a": ("b",), "b": ("c", "d"), "c": (), "d": ("b",)}) == (
        "b",
        "d",
        "b",
    )
    assert find_cycle({"a": ("elsewhere",)}) == ()


def test_an_instance_of_a_mapped_step_calls_the_steps_action() -> None:
    plan = Plan((SagaStep("each", "agent", map="items"),)).expanded("each", 2)
    assert [plan.by_name[f"each[{n}]"].action_name for n in range(2)] == ["each"] * 2
