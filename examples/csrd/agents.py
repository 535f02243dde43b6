"""The five agents of the CSRD saga.

``celery -A tasks worker -I examples.csrd.agents`` hosts them. Every action may run
twice with one idempotency key and then makes and returns the same; every
compensation removes what its action made, whole or half.

Environment: ``CSRD_HOME`` is where files go (``var/csrd``; all workers share it),
``CSRD_DATA`` where the data is (the folder ``data`` beside this file).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from examples.csrd import outbox, steps
from examples.csrd.errors import BadRequest, CsrdError
from examples.csrd.workspace import Workspace, home
from orchestration.agents import ActionContext, Agent

__all__ = ["calculator", "collector", "publisher", "reporter", "validator"]

Json = dict[str, Any]
_STANDARDS = ("ESRS-E1",)

collector = Agent(
    "agent-data-collector",
    agent_type="collector",
    version="1.0.0",
    capabilities=("esg_data_collection",),
    service_types=("DATA",),
    tags=("csrd",),
)
validator = Agent(
    "agent-validator",
    agent_type="validator",
    version="1.0.0",
    capabilities=("framework_validation",),
    service_types=("VALIDATION",),
    tags=("csrd",),
)
calculator = Agent(
    "agent-calculator",
    agent_type="calculator",
    version="1.0.0",
    capabilities=("carbon_calculation", "scope2_emissions"),
    service_types=("COMPUTATION",),
    tags=("csrd",),
)
reporter = Agent(
    "agent-reporter",
    agent_type="reporter",
    version="1.0.0",
    capabilities=("xbrl_reporting",),
    service_types=("REPORTING",),
    tags=("csrd",),
)
publisher = Agent(
    "agent-publisher",
    agent_type="publisher",
    version="1.0.0",
    capabilities=("report_publication",),
    service_types=("INTEGRATION",),
    tags=("csrd",),
)


@collector.action()
def collect_data(data: Json, context: ActionContext) -> Json:
    """Collect the company's electricity readings.

    The step's metadata may name ``frameworks``, the standards to check against,
    and ``read_delay_ms``, a wait after each site for demonstrations (default 0).
    """
    _need(data, "company_id", "reporting_period")
    delay_ms = float(context.metadata.get("read_delay_ms", 0))

    def after_site() -> None:
        steps.pause(delay_ms)
        context.heartbeat()
        if context.cancelled:
            raise CsrdError("collecting stopped: the saga has given up meanwhile")

    def build(folder: Path) -> Json:
        output = steps.collect(folder, _data("companies"), data, after_site)
        standards = list(context.metadata.get("frameworks", _STANDARDS))
        return {**output, "standards": standards}

    return _run("collected", context, build, "collected")


@collector.action()
def delete_collected_data(_data: Json, context: ActionContext) -> Json:
    """Remove the readings that were collected."""
    return _undo("collected", context)


@validator.action()
def validate_framework_completeness(data: Json, context: ActionContext) -> Json:
    """Check the readings against the data points of the standards asked for."""
    collected = _collected(data)
    standards = tuple(data.get("standards", _STANDARDS))
    points = _data("esrs_e1_data_points.csv")
    return _run(
        "validation",
        context,
        lambda folder: steps.validate(folder, collected, points, standards),
        "completeness",
    )


@validator.action()
def reset_validation_state(_data: Json, context: ActionContext) -> Json:
    """Remove the result of the check."""
    return _undo("validation", context)


@calculator.action()
def calculate_csrd_metrics(data: Json, context: ActionContext) -> Json:
    """Calculate location-based Scope 2 by country and reporting year."""
    collected = _collected(data)
    inputs = {"collected_sha256": data["collected"]["sha256"]}
    table = _data("grid_intensity.csv")
    return _run(
        "calculations",
        context,
        lambda folder: steps.calculate(folder, collected, table, inputs),
        "figures",
    )


@calculator.action()
def clear_calculations(_data: Json, context: ActionContext) -> Json:
    """Remove the calculated figures."""
    return _undo("calculations", context)


@reporter.action()
def generate_xbrl_report(data: Json, context: ActionContext) -> Json:
    """Write the draft of the report: page, chart and XBRL instance."""
    collected = _collected(data)
    _need(data, "figures", "completeness")
    return _run(
        "draft",
        context,
        lambda folder: steps.generate(folder, home(), collected, data, context.saga_id),
        "draft",
    )


@reporter.action()
def delete_draft_report(_data: Json, context: ActionContext) -> Json:
    """Remove the draft."""
    return _undo("draft", context)


@publisher.action()
def publish_to_esma(data: Json, context: ActionContext) -> Json:
    """Put the report into the local outbox, once; nothing is sent to ESMA."""
    _need(data, "draft", "report_id")
    root, draft = home(), data["draft"]
    manifest = steps.read_json(root, draft)
    files = {**manifest["files"], "manifest.json": draft["sha256"]}
    receipt = outbox.publish(
        root,
        (root / draft["path"]).parent,
        files,
        {
            "report_id": manifest["report_id"],
            "saga_id": context.saga_id,
            "idempotency_key": context.idempotency_key,
            "manifest_sha256": draft["sha256"],
            "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "channel": "local outbox",
            "submitted_to_esma": False,
        },
    )
    folder = root / "outbox" / receipt["report_id"]
    return {
        "report_id": receipt["report_id"],
        "published": receipt | {"path": str(folder)},
    }


def _run(
    step: str, context: ActionContext, build: Callable[[Path], Json], ref: str
) -> Json:
    """Run a step once, and say where its file ``ref`` is from CSRD_HOME on."""
    workspace = Workspace(home(), context.saga_id)

    def build_with_path(folder: Path) -> Json:
        output = build(folder)
        file = dict(output[ref])
        return {**output, ref: file | {"path": workspace.relative(step, file["path"])}}

    return workspace.run_once(step, context, build_with_path)


def _undo(step: str, context: ActionContext) -> Json:
    return {"deleted_files": Workspace(home(), context.saga_id).undo(step)}


def _collected(data: Mapping[str, Any]) -> steps.Collected:
    _need(data, "collected")
    return steps.Collected.load(home(), data["collected"])


def _need(data: Mapping[str, Any], *keys: str) -> None:
    if missing := [key for key in keys if key not in data]:
        raise BadRequest(
            f"the step's data lacks {', '.join(missing)}: name it in initial_data, or "
            "let the step depend on the one that makes it (see examples/csrd/README.md)"
        )


def _data(name: str) -> Path:
    """Return a path in the data folder."""
    folder = os.environ.get("CSRD_DATA")
    return (Path(folder) if folder else Path(__file__).parent / "data") / name
