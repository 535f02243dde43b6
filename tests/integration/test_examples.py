"""The usage examples run as written, and so do the other ways in of sagas."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestration.errors import UnknownAgent
from orchestration.saga import SagaState
from tests.support.front import Front, front_door
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

# The text of the source description, word for word.
EXAMPLES = Path(__file__).with_name("usage_examples.md").read_text("utf-8")
BUS = """
from orchestration.message_bus import MessageBus
message_bus = MessageBus()
await message_bus.initialize()
"""


REFUSED = """
try:
    await pipeline.execute({})
finally:
    await message_bus.close()
"""


def code_of(heading: str) -> str:
    """Return the first code block under a heading."""
    found = re.search(rf"### {heading}.*?```python\n(.*?)```", EXAMPLES, re.DOTALL)
    assert found is not None, heading
    return found[1]


def run(code: str, namespace: dict[str, Any]) -> None:
    """Run code in which ``await`` may stand at the top level."""
    compiled = compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    pending = eval(compiled, namespace)
    if pending is not None:
        asyncio.run(pending)


@pytest.fixture
def with_agents(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    """Workers beside it that host the agents which the example names."""
    stack.env["SWITCHES"] = str(tmp_path)
    agents = ("-I", "tests.support.example_agents", "--without-mingle")
    stack.worker(*agents, "-c", "2")
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL"):
        monkeypatch.setenv(name, stack.env[name])
    return stack


def test_the_third_example_runs_as_written(
    with_agents: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = code_of("Example 3")
    close = "\nawait message_bus.close()\n"
    namespace: dict[str, Any] = {}
    run(BUS + example + close, namespace)
    assert "Saga completed successfully!" in capsys.readouterr().out
    assert namespace["result"]["report_id"] == "REPORT-1"

    (tmp_path / "fail-calculate_csrd_metrics").touch()
    run(BUS + example + close, {})
    told = capsys.readouterr().out
    assert "Saga failed: saga " in told
    assert "Compensation status: COMPENSATED" in told
    assert "Compensated steps: 2" in told


def test_the_first_example_runs_as_written(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.worker("-I", "tests.support.supplier_agents", "-c", "2")
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL"):
        monkeypatch.setenv(name, stack.env[name])
    namespace: dict[str, Any] = {}
    run(code_of("Example 1") + "\nawait message_bus.close()\n", namespace)
    told = capsys.readouterr().out
    assert "Swarm Results:\n  Convergence: 100.00%\n  Fitness: 100.00%\n" in told
    assert re.search(r"  Iterations: \d+\n  Duration: \d+ms\n  Efficiency: ", told)
    assert namespace["result"]["rows"] == 100_000
    assert namespace["result"]["agents"] == 100


def test_the_second_example_runs_as_written(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.worker("-I", "tests.support.calc_agents", "-c", "2")
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL"):
        monkeypatch.setenv(name, stack.env[name])
    run(BUS + code_of("Example 2") + "\nawait message_bus.close()\n", {})
    told = capsys.readouterr().out
    assert re.search(r"Routed to: \['agent-calc-00[123]'\]", told)
    assert "Average calculation result: {'tonnes': 2}" in told


def test_the_fourth_example_runs_as_written(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stack.chores()
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL"):
        monkeypatch.setenv(name, stack.env[name])
    namespace: dict[str, Any] = {}
    run(BUS + code_of("Example 4") + "\nawait message_bus.close()\n", namespace)
    told = capsys.readouterr().out
    assert "Registration: ✓" in told
    assert "Discovered 1 agents:\n  - agent-carbon-calc-001\n" in told
    assert "    Health: 99.00%\n    Status: ACTIVE\n    Location: us-east-1\n" in told
    assert "Total agents: 1\n  Average health: 99.00%\n" in told
    assert "Unique capabilities: 4\n" in told


def test_the_snippets_on_integration_run_as_written(with_agents: Stack) -> None:
    with_agents.chores()
    close = "\nawait message_bus.close()\n"
    begin = "kafka_config = None\n" + code_of("With message_bus.py")
    namespace: dict[str, Any] = {}
    snippet = begin + code_of("With pipeline.py")
    run(
        snippet + "\nresult = await pipeline.execute({'tonnes': 3})\n" + close,
        namespace,
    )
    calculated = namespace["result"]["distributed_calculation"]
    assert (calculated["status"], calculated["convergence"]) == ("COMPLETED", 1.0)
    assert calculated["values"] == [{"tonnes": 3 * nth} for nth in range(100)]

    nobody = code_of("With pipeline.py").replace("swarm-coordinator", "nobody")
    run(begin + nobody + close, {})
    with pytest.raises(UnknownAgent, match="'distributed_calculation' of agent 'nob"):
        run(begin + nobody + REFUSED, {})


def test_five_steps_with_positional_names_run_in_list_order(
    with_agents: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"```python\n(# 5-step distributed.*?)```", EXAMPLES, re.DOTALL)
    assert found is not None
    code = (
        BUS
        + "from orchestration.saga import *\n"
        + found[1]
        + "\nsaga = SagaOrchestrator(message_bus)\n"
        + "result = await saga.execute(SagaTransaction('short', steps), {'n': 1})\n"
        + "await message_bus.close()\n"
    )
    namespace: dict[str, Any] = {}
    run(code, namespace)
    assert namespace["result"]["order"] == [
        "collect_data",
        "validate_framework",
        "calculate_metrics",
        "generate_report",
        "publish_report",
    ]


def test_a_bare_celery_client_starts_a_saga_by_name(with_agents: Stack) -> None:
    client = Celery(broker=with_agents.env["CELERY_BROKER_URL"], set_as_current=False)
    definition = {
        "name": "from outside",
        "steps": [
            {"name": "collect_data", "agent_id": "data-agent"},
            {"name": "validate_framework", "agent_id": "validator-agent"},
        ],
    }
    client.send_task(
        "saga.start",
        kwargs={
            "definition": definition,
            "initial_data": {"n": 1},
            "transaction_id": "outside-1",
        },
        ignore_result=True,
    )
    client.close()
    with front_door(with_agents.env) as front:
        wait_until(lambda: exists(front, "outside-1"), "the saga has begun")
        status = front.wait("outside-1")
        assert status.state is SagaState.COMPLETED
        assert status.completed_steps == ("collect_data", "validate_framework")


def exists(front: Front, saga_id: str) -> bool:
    listed = asyncio.run(front.saga.find())
    return saga_id in {summary.saga_id for summary in listed}
