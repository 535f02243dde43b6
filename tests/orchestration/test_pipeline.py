"""Pipelines on real workers: every mode, and who can start one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from orchestration.errors import (
    InvalidPipeline,
    PipelineCancelled,
    PipelineFailed,
    PipelineTimedOut,
    UnknownAgent,
)
from orchestration.pipeline import (
    Pipeline,
    PipelineExecution,
    PipelineStage,
    PipelineState,
)
from orchestration.saga import SagaStep, SagaTransaction
from orchestration.swarm import SwarmOrchestrator
from tests.support.front import Front
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MODULES = "tests.support.line_agents"

Gate = Callable[[], Path]
A, B, C = "agent-a", "agent-b", "agent-c"


def stage(name: str, *agents: str, **options: Any) -> PipelineStage:
    known = {"adds", "waits_for", "begun", "fails", "stumbles", "mended_by"}
    metadata = {key: options.pop(key) for key in known & options.keys()}
    if "saga" not in options:
        options.setdefault("action", "work")
    return PipelineStage(name, agents, metadata=metadata, **options)


def line(front: Front, *stages: PipelineStage, **options: Any) -> Pipeline:
    return Pipeline(stages, message_bus=front.bus, **options)


def execute(front: Front, *stages: PipelineStage, **data: Any) -> dict[str, Any]:
    return asyncio.run(line(front, *stages).execute(data, timeout_ms=200_000))


def status(front: Front, run_id: str) -> PipelineExecution:
    return asyncio.run(line(front).status(run_id))


def test_stages_run_in_order_each_on_what_came_before(front: Front) -> None:
    stages = [stage("one", A), stage("two", A, B, C, adds=10), stage("three", B)]
    assert execute(front, *stages, n=0) == {"n": 32, "by": [A, A, B, C, B]}


def test_parallel_agents_are_at_it_at_the_same_time(
    front: Front, gate: Gate, tmp_path: Path
) -> None:
    ends = gate()
    both = stage(
        "both", A, B, mode="PARALLEL", waits_for=str(ends), begun=str(tmp_path)
    )

    def both_began() -> bool:
        return len([*tmp_path.iterdir()]) == 2

    async def run() -> dict[str, Any]:
        pipeline = line(front, both, stage("next", C))
        end = asyncio.create_task(pipeline.execute({"n": 1}))
        await asyncio.to_thread(wait_until, both_began, "both agents are at it")
        ends.touch()
        return await end

    result = asyncio.run(run())
    assert result == {
        "both": {A: {"n": 2, "by": [A]}, B: {"n": 2, "by": [B]}},
        "n": 2,
        "by": [C],
    }


def test_conditions_say_whether_and_by_whom(front: Front) -> None:
    stages = [
        stage("never", A, mode="CONDITIONAL", condition="n > 5"),
        stage("who", A, B, mode="CONDITIONAL", condition={A: "n > 5", B: "n < 5"}),
    ]
    assert execute(front, *stages, n=0) == {"n": 1, "by": [B]}


def test_map_deals_its_items_out(front: Front) -> None:
    result = execute(front, stage("each", A, B, mode="MAP", items="xs"), xs=[1, 2, 3])
    assert [(one["n"], one["by"]) for one in result["each"]] == [
        (2, [A]),
        (3, [B]),
        (4, [A]),
    ]


def test_an_agent_is_chosen_by_its_capability_and_recorded(front: Front) -> None:
    pipeline = line(front, stage("one", capability="is-b"), stage("two", A))
    registered(front, "is-b")
    run_id = asyncio.run(pipeline.start({"n": 0}))
    ended = asyncio.run(pipeline.wait(run_id, timeout_ms=60_000))
    assert ended.result == {"n": 2, "by": [B, A]}
    assert [report.agents for report in ended.stages] == [(B,), (A,)]
    assert front.told(run_id, "STEP_ROUTED")[0]["agent_id"] == B


def registered(front: Front, capability: str) -> None:
    """Return once the worker's agents are in the registry."""
    front.bus.registry.start()
    view = front.bus.registry.replica.columns
    wait_until(lambda: view.get(f"agent-{capability[-1]}"), f"{capability} is there")


def test_a_failed_attempt_is_made_again_by_another_agent(front: Front) -> None:
    for one in "abc":
        registered(front, f"is-{one}")
    # Of the two others either may be next; the third is not for ever passed over.
    retry = {"max_attempts": 40, "backoff_ms": 10, "multiplier": 1.0}
    one = stage("one", capability="counting", stumbles=[A, B], retry_policy=retry)
    assert execute(front, one, n=0)["by"] == [C]


def test_nobody_has_the_action_of_a_capability(front: Front) -> None:
    with pytest.raises(UnknownAgent, match="action 'fly' of any agent"):
        execute(front, stage("one", capability="is-a", action="fly"))


def test_a_saga_is_a_stage_and_undone_by_itself(front: Front) -> None:
    steps = [
        SagaStep("first", A, action="work", compensation="forget"),
        SagaStep("second", A, action="work", metadata={"fails": [A]}),
    ]
    book = stage("book", saga=SagaTransaction("book", steps))
    with pytest.raises(PipelineFailed, match="gave up at stage 'book'") as caught:
        execute(front, stage("zero", B), book)
    ended = caught.value.status
    assert (ended.state, ended.failed_stage) == (PipelineState.FAILED, "book")
    child = ended.stages[1].child_id
    assert child is not None
    assert front.status(child).compensated_steps == ("first",)
    assert ended.result == {"n": 1, "by": [B]}


def test_a_run_is_taken_up_where_it_failed(front: Front, gate: Gate) -> None:
    mended = gate()
    once = {"max_attempts": 1}
    two = stage("two", B, mended_by=str(mended), retry_policy=once)
    pipeline = line(front, stage("one", A), two)

    async def run() -> PipelineExecution:
        with pytest.raises(PipelineFailed) as caught:
            await pipeline.execute({"n": 0})
        mended.touch()
        await pipeline.retry(caught.value.run_id)
        return await pipeline.wait(caught.value.run_id, timeout_ms=60_000)

    ended = asyncio.run(run())
    assert ended.state is PipelineState.COMPLETED
    assert ended.result["by"] == [A, B]


def test_a_run_out_of_time_says_so(front: Front, gate: Gate) -> None:
    endless = stage("endless", A, waits_for=str(gate()), timeout_ms=1_500)
    pipeline = line(front, endless, stage("next", A))
    with pytest.raises(PipelineTimedOut, match="ran out of time"):
        asyncio.run(pipeline.execute({}, timeout_ms=500))


def test_cancel_ends_a_run(front: Front, gate: Gate, tmp_path: Path) -> None:
    ends = gate()
    waits = stage("waits", A, waits_for=str(ends), begun=str(tmp_path))
    pipeline = line(front, waits, stage("next", A))

    async def run() -> None:
        run_id = f"run-{uuid4().hex}"
        end = asyncio.create_task(pipeline.execute({}, run_id=run_id))
        await asyncio.to_thread(wait_until, (tmp_path / "waits").exists, "it is at it")
        await pipeline.cancel(run_id, why="enough")
        ends.touch()
        await end

    with pytest.raises(PipelineCancelled, match="was cancelled") as caught:
        asyncio.run(run())
    assert caught.value.status.state is PipelineState.CANCELLED
    done = [one.status == "DONE" for one in caught.value.status.stages]
    assert done == [True, False]


def test_one_id_is_one_run(front: Front) -> None:
    pipeline, run_id = line(front, stage("one", A)), f"run-{uuid4().hex}"
    results = [asyncio.run(pipeline.execute({"n": 0}, run_id=run_id)) for _ in "ab"]
    assert results[0] == results[1]
    assert front.types(run_id).count("STEP_STARTED") == 1


def test_faults_are_told_before_anything_starts(front: Front) -> None:
    with pytest.raises(InvalidPipeline) as caught:
        execute(front, stage("x"), stage("x", A, mode="MAP"))
    assert len(caught.value.faults) >= 2
    with pytest.raises(UnknownAgent, match="agent 'agent-none'"):
        execute(front, stage("one", "agent-none"))


# --- swarms as stages


def swarm(name: str, *agents: str, **config: Any) -> PipelineStage:
    known = {"waits_for", "begun", "fails"}
    metadata = {key: config.pop(key) for key in known & config.keys()}
    metadata["swarm_config"] = {"agents_required": 10, "backoff_ms": 0, **config}
    return PipelineStage(
        name, agents, mode="PARALLEL", action="square", metadata=metadata
    )


def test_a_swarm_shares_out_a_list_among_an_agents_attempts(front: Front) -> None:
    stage_ = swarm("squares", A, behavior="FORAGING")
    data = {"items": list(range(25)), "plus": 1}
    result = execute(front, stage_, stage("next", B), **data)
    squares = result["squares"]
    assert [one["square"] for one in squares["values"]] == [
        n * n + 1 for n in range(25)
    ]
    assert squares["partitions"] == {"done": 25, "failed": 0, "pending": 0}
    assert squares["status"] == "COMPLETED"
    assert result["by"] == [B]


def test_a_swarm_may_have_a_handler_and_fewer_partitions(front: Front) -> None:
    options = {"handler": "halves", "items": "xs", "data_partitions": 2}
    result = execute(front, swarm("s", **options), xs=[2, 4, 6, 8], plus=1)
    assert result["s"]["values"] == [4.0, 8.0]


def test_a_swarm_without_work_is_done(front: Front) -> None:
    assert execute(front, swarm("s", A), items=[])["s"]["values"] == []


def test_a_swarm_that_does_too_little_fails_its_stage(front: Front) -> None:
    with pytest.raises(PipelineFailed, match="1 done, 2 failed") as caught:
        execute(front, swarm("s", A, fails=[1, 2]), items=[1, 2, 3])
    assert caught.value.status.error is not None
    assert caught.value.status.error["type"] == "SwarmNotConverged"


def test_a_swarm_without_a_handler_is_refused_when_it_is_run(front: Front) -> None:
    pipeline = line(front, swarm("s", "agent-none"))
    with pytest.raises(UnknownAgent, match="'square' of agent 'agent-none'"):
        asyncio.run(pipeline.execute({}))
    with pytest.raises(UnknownAgent, match="hosts handler 'nothing'"):
        execute(front, swarm("s", handler="nothing"))
    with pytest.raises(InvalidPipeline, match="stage 's': swarm: agents_required is 0"):
        execute(front, swarm("s", A, agents_required=0))


def test_a_cancel_flows_down_to_the_swarm(
    front: Front, gate: Gate, tmp_path: Path
) -> None:
    ends = gate()
    pipeline = line(front, swarm("s", A, begun=str(tmp_path), waits_for=str(ends)))

    async def run() -> tuple[PipelineExecution, str]:
        run_id = await pipeline.start({"items": list(range(30))})
        begun = lambda: any(tmp_path.iterdir())  # noqa: E731
        await asyncio.to_thread(wait_until, begun, "partitions are worked on")
        child = (await pipeline.status(run_id)).stages[0].child_id
        assert child is not None
        await pipeline.cancel(run_id)
        ends.touch()
        return await pipeline.wait(run_id, timeout_ms=60_000), child

    ended, child = asyncio.run(run())
    assert ended.state is PipelineState.CANCELLED
    report = asyncio.run(SwarmOrchestrator(front.bus).status(child))
    assert report.status == "STOPPED"


def test_a_pause_flows_down_to_the_swarm_and_so_does_its_end(
    front: Front, gate: Gate, tmp_path: Path
) -> None:
    ends, swarms = gate(), SwarmOrchestrator(front.bus)
    pipeline = line(front, swarm("s", A, begun=str(tmp_path), waits_for=str(ends)))

    def stands(child: str, status: str) -> bool:
        return front.bus.swarms.log.view(child).status == status

    async def run() -> PipelineExecution:
        run_id = await pipeline.start({"items": list(range(10))})
        begun = lambda: any(tmp_path.iterdir())  # noqa: E731
        await asyncio.to_thread(wait_until, begun, "partitions are worked on")
        child = (await pipeline.status(run_id)).stages[0].child_id
        assert child is not None
        for act, status in ((pipeline.pause, "PAUSED"), (pipeline.resume, "RUNNING")):
            await act(run_id)
            there = partial(stands, child, status)
            await asyncio.to_thread(wait_until, there, f"the swarm is {status}")
        ends.touch()
        ended = await pipeline.wait(run_id, timeout_ms=60_000)
        assert (await swarms.status(child)).status == "COMPLETED"
        return ended

    assert asyncio.run(run()).state is PipelineState.COMPLETED


def test_a_bare_celery_client_runs_a_pipeline_by_name(
    running: Stack, front: Front
) -> None:
    run_id = f"run-{uuid4().hex}"
    stages: list[Mapping[str, Any]] = [
        {"name": "one", "agents": [A], "action": "work"},
        {"name": "both", "agents": [A, B], "mode": "PARALLEL", "action": "work"},
    ]
    sent(running, stages, run_id)
    wait_until(lambda: front.bus.sagas.read(run_id).events, "the run has begun")
    ended = asyncio.run(line(front).wait(run_id, timeout_ms=60_000))
    assert ended.state is PipelineState.COMPLETED
    assert ended.result["both"][B]["n"] == 2


def sent(running: Stack, stages: list[Mapping[str, Any]], run_id: str) -> None:
    client = Celery(broker=running.env["CELERY_BROKER_URL"], set_as_current=False)
    prefix = running.env["ORCHESTRATION_KEY_PREFIX"]
    client.conf.broker_transport_options = {"global_keyprefix": prefix}
    client.send_task(
        "pipeline.run",
        kwargs={
            "definition": {"name": "from outside", "stages": stages},
            "initial_data": {"n": 0},
            "run_id": run_id,
        },
        ignore_result=True,
    )
    client.close()
