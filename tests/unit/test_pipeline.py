"""Pipelines in memory: who does what in which mode, and what comes of it."""

from __future__ import annotations

from typing import Any

from orchestration.agents import ActionContext
from orchestration.core.pipeline.execution import PipelineState
from orchestration.core.pipeline.model import ExecutionMode, PipelineStage
from orchestration.core.saga.acts import Who
from orchestration.core.saga.events import EventType
from orchestration.core.saga.model import SagaState, SagaStep, SagaTransaction
from tests.unit.crew import Crew, fails, says

ONCE = {"max_attempts": 1}
ME = Who("me")
MODE = ExecutionMode


def adds(amount: int) -> Any:
    """Return what adds to ``n``."""
    return lambda data, _context: {"n": data["n"] + amount}


# --- stages in their order


def test_each_stage_gets_what_those_before_it_returned() -> None:
    crew = Crew("a", "b")
    crew.does = {"a": adds(1), "b": adds(10)}
    status = crew.go(PipelineStage("first", "a"), PipelineStage("second", "b"), n=0)
    assert status.state is PipelineState.COMPLETED
    assert status.result == {"n": 11}
    assert crew.log == ["a first first", "b second second"]
    assert [(s.name, s.status, s.agents) for s in status.stages] == [
        ("first", "DONE", ("a",)),
        ("second", "DONE", ("b",)),
    ]


def test_stages_that_name_what_they_depend_on_are_a_graph() -> None:
    crew = Crew("a")
    crew.go(
        PipelineStage("join", "a", depends_on=["left", "right"]),
        PipelineStage("left", "a"),
        PipelineStage("right", "a"),
    )
    assert crew.log == ["a left left", "a right right", "a join join"]


def test_an_action_may_be_called_otherwise_than_its_stage() -> None:
    crew = Crew("a")
    crew.go(PipelineStage("first", "a", action="count"))
    assert crew.log == ["a count first"]


def test_the_metadata_are_the_actions() -> None:
    crew = Crew("a")
    seen: list[object] = []
    crew.does["a"] = lambda _data, context: seen.append(context.metadata)
    crew.go(PipelineStage("first", "a", metadata={"x": [1]}))
    assert seen == [{"x": [1]}]


# --- modes


def test_sequential_agents_work_each_on_the_output_of_the_one_before() -> None:
    crew = Crew("a", "b", "c")
    crew.does = {"a": adds(1), "b": adds(10), "c": adds(100)}
    line = PipelineStage("line", ["a", "b", "c"])
    status = crew.go(line, PipelineStage("last", "a"), n=0)
    assert [entry.split()[0] for entry in crew.log] == ["a", "b", "c", "a"]
    assert status.result == {"n": 112}
    assert crew.inputs["last"]["steps"]["line"] == {"n": 111}
    assert status.stages[0].agents == ("a", "b", "c")
    assert status.stages[0].attempts == 3


def test_parallel_agents_are_sent_to_at_once_and_answer_by_name() -> None:
    crew = Crew("a", "b")
    crew.does = {"a": says(n=1), "b": says(n=2)}
    status = crew.go(PipelineStage("both", ["a", "b"], mode=MODE.PARALLEL), n=0)
    assert status.result == {"both": {"a": {"n": 1}, "b": {"n": 2}}}
    begun = [e.step for e in crew.history("run") if e.type is EventType.STEP_STARTED]
    assert sorted(begun) == ["both[0]", "both[1]"]


def test_outputs_of_parallel_agents_are_merged_if_asked_for() -> None:
    crew = Crew("a", "b")
    crew.does = {"a": says(x=1, same=0), "b": says(y=2, same=0)}
    stage = PipelineStage("both", ["a", "b"], mode="PARALLEL", merge=True)
    status = crew.go(stage)
    both = {"a": {"x": 1, "same": 0}, "b": {"y": 2, "same": 0}}
    assert status.result == {"x": 1, "y": 2, "same": 0, "both": both}


def test_merging_what_differs_fails_the_stage() -> None:
    crew = Crew("a", "b")
    crew.does = {"a": says(n=1), "b": says(n=2)}
    stage = PipelineStage("both", ["a", "b"], mode="PARALLEL", merge=True)
    status = crew.go(stage, PipelineStage("next", "a"))
    assert (status.state, status.failed_stage) == (PipelineState.FAILED, "both")
    assert status.error is not None
    assert status.error["type"] == "DataConflict"
    assert "'b' wrote 'n' with another value" in status.error["message"]


def test_a_condition_passes_the_whole_stage_over() -> None:
    crew = Crew("a", "b")
    stage = PipelineStage("maybe", ["a", "b"], mode="CONDITIONAL", condition="n > 3")
    status = crew.go(stage, PipelineStage("next", "a"), n=1)
    assert status.state is PipelineState.COMPLETED
    assert status.stages[0].status == "SKIPPED"
    assert crew.log == ["a next next"]


def test_a_condition_is_asked_once_whatever_the_agents_make_of_the_data() -> None:
    crew = Crew("a", "b")
    crew.does = {"a": adds(-5), "b": adds(100)}
    stage = PipelineStage("maybe", ["a", "b"], mode="CONDITIONAL", condition="n > 3")
    assert crew.go(stage, n=4).result == {"n": 99}


def test_the_first_agent_whose_condition_holds_does_the_stage() -> None:
    def chosen(n: int) -> tuple[str, ...]:
        crew = Crew("senior", "junior", "anybody")
        stage = PipelineStage(
            "review",
            ["senior", "junior", "anybody"],
            mode="CONDITIONAL",
            condition={"junior": "n > 10", "senior": "n > 100"},
        )
        status = crew.go(stage, n=n)
        assert [entry.split()[0] for entry in crew.log] == [*status.stages[0].agents]
        return status.stages[0].agents

    assert chosen(500) == ("senior",)
    assert chosen(50) == ("junior",)
    assert chosen(5) == ("anybody",)


def test_a_stage_whose_conditions_all_fail_is_passed_over_and_says_why() -> None:
    crew = Crew("a", "b")
    stage = PipelineStage(
        "review", ["a", "b"], mode="CONDITIONAL", condition={"a": "n > 1", "b": "m"}
    )
    status = crew.go(stage, n=0)
    assert (status.state, status.stages[0].status) == ("COMPLETED", "SKIPPED")
    [skipped] = [e for e in crew.history("run") if e.type is EventType.STEP_SKIPPED]
    assert "m" in skipped.data["problem"]["b"]


def test_an_agent_that_was_chosen_by_a_condition_is_kept_for_retries() -> None:
    crew = Crew("a", "b")
    crew.does["a"] = fails
    stage = PipelineStage(
        "review",
        ["a", "b"],
        mode="CONDITIONAL",
        condition={"a": "True"},
        retry_policy={"max_attempts": 3, "backoff_ms": 10_000},
    )
    assert crew.go(stage).state is PipelineState.FAILED
    assert crew.log == ["a review review"] * 2 + ["a review review"]


def test_map_does_a_stage_once_per_item_and_deals_them_out() -> None:
    crew = Crew("a", "b")
    does = lambda data, _context: {"square": data["item"] ** 2}  # noqa: E731
    crew.does = {"a": does, "b": does}
    stage = PipelineStage("squares", ["a", "b"], mode="MAP", items="numbers")
    status = crew.go(stage, numbers=[1, 2, 3])
    assert status.result == {"squares": [{"square": n} for n in (1, 4, 9)]}
    assert sorted(crew.log) == [
        "a squares squares[0]",
        "a squares squares[2]",
        "b squares squares[1]",
    ]


# --- by capability


def test_an_agent_is_chosen_by_capability_and_recorded() -> None:
    crew = Crew("a", "b sums", "c sums")
    status = crew.go(PipelineStage("total", capability="sums"))
    assert status.state is PipelineState.COMPLETED
    assert status.stages[0].agents == ("b",)
    [routed] = [e for e in crew.history("run") if e.type is EventType.STEP_ROUTED]
    assert routed.data == {
        "step": "total",
        "for_attempt": 1,
        "round": 1,
        "agent_id": "b",
        "capability": "sums",
    }


def test_after_a_failure_another_agent_is_chosen() -> None:
    crew = Crew("b sums", "c sums")
    crew.does["b"] = fails
    status = crew.go(PipelineStage("total", capability="sums"))
    assert status.state is PipelineState.COMPLETED
    assert crew.log == ["b total total", "c total total"]
    assert status.stages[0].attempts == 2


def test_the_next_choice_is_not_later_than_the_wait_that_was_due() -> None:
    crew = Crew("b sums", "c sums")
    crew.does["b"] = fails
    policy = {"backoff_ms": 60_000, "jitter": 0.0}
    begun = crew.clock.now()
    crew.go(PipelineStage("total", capability="sums", retry_policy=policy))
    assert 60 <= (crew.clock.now() - begun).total_seconds() < 62


def test_each_item_may_go_to_an_agent_of_its_own_choice() -> None:
    crew = Crew("b sums")
    stage = PipelineStage("total", capability="sums", mode="MAP", items="numbers")
    status = crew.go(stage, numbers=[1, 2])
    assert status.state is PipelineState.COMPLETED
    assert crew.log == ["b total total[0]", "b total total[1]"]


# --- sagas as stages


def book(fail: str = "") -> SagaTransaction:
    steps = [
        SagaStep("reserve", "a", compensation="release"),
        SagaStep("pay", fail or "a", retry_policy=ONCE),
    ]
    return SagaTransaction("book", steps)


def test_a_saga_is_a_stage() -> None:
    crew = Crew("a")
    crew.does["a"] = lambda _data, context: {context.step: 1}
    status = crew.go(PipelineStage("book", saga=book()), PipelineStage("next", "a"))
    assert status.result == {"reserve": 1, "pay": 1, "next": 1}
    child = status.stages[0].child_id
    assert child is not None
    assert crew.status(child).state is SagaState.COMPLETED


def test_a_saga_that_fails_is_undone_and_the_pipeline_halts() -> None:
    crew = Crew("a", "bad")
    crew.does["bad"] = fails
    status = crew.go(PipelineStage("book", saga=book("bad")), PipelineStage("x", "a"))
    assert (status.state, status.failed_stage) == (PipelineState.FAILED, "book")
    assert crew.log == ["a reserve reserve", "bad pay pay", "a release reserve"]


# --- failures


def test_a_stage_that_fails_halts_the_run_as_it_stands() -> None:
    crew = Crew("a", "bad")
    crew.does["bad"] = fails
    status = crew.go(
        PipelineStage("one", "a"),
        PipelineStage("two", "bad", retry_policy=ONCE),
        PipelineStage("three", "a"),
    )
    assert (status.state, status.failed_stage) == (PipelineState.FAILED, "two")
    assert [stage.status for stage in status.stages] == ["DONE", "FAILED", "IDLE"]
    assert crew.log == ["a one one", "bad two two"]


def test_a_failed_run_is_taken_up_at_the_stage_that_failed() -> None:
    crew = Crew("a", "bad")
    crew.does["bad"] = fails
    stages = PipelineStage("one", "a"), PipelineStage("two", "bad", retry_policy=ONCE)
    crew.go(*stages)
    crew.does["bad"] = says(done=True)
    crew.desk.retry("run", ME)
    crew.run_until_idle()
    assert crew.status("run").state is SagaState.COMPLETED
    assert crew.log == ["a one one", "bad two two", "bad two two"]


def test_one_of_parallel_agents_that_fails_fails_the_stage() -> None:
    crew = Crew("a", "bad")
    crew.does["bad"] = fails
    stage = PipelineStage("both", ["a", "bad"], mode="PARALLEL", retry_policy=ONCE)
    status = crew.go(stage, PipelineStage("next", "a"))
    assert (status.state, status.failed_stage) == (PipelineState.FAILED, "both")
    assert status.stages[0].status == "FAILED"
    assert status.stages[0].error == {
        "type": "ValueError",
        "message": "both[1] fails",
    }


def test_a_run_out_of_time_halts() -> None:
    crew = Crew("a")

    def hangs(data: dict[str, Any], context: ActionContext) -> None:
        crew.clock.advance(seconds=30)

    crew.does["a"] = hangs
    stages = [PipelineStage(f"s{n}", "a") for n in range(5)]
    status = crew.go(*stages, timeout_ms=40_000)
    assert (status.state, status.failed_stage) == (PipelineState.FAILED, None)
