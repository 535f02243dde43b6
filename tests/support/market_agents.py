"""An agent whose world is a folder, named by MEETING: a file for each thing sold.

``deliver`` and ``put_back`` can be asked for twice; ``put_back_half`` forgets the
receipt.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orchestration.agents import ActionContext, Agent
from tasks.celery_app import app

market = Agent("agent-market")
Data = dict[str, Any]


def _file(context: ActionContext, kind: str) -> Path:
    return Path(os.environ["MEETING"]) / f"{context.step}.{kind}"


@market.action()
def deliver(data: Data, context: ActionContext) -> Data:
    _file(context, "thing").write_text(context.saga_id)
    _file(context, "receipt").write_text(str(data["euros"]))
    return {"delivered": context.step}


@market.action()
async def put_back(data: Data, context: ActionContext) -> None:
    _file(context, "thing").unlink(missing_ok=True)
    _file(context, "receipt").unlink(missing_ok=True)


@market.action()
def put_back_half(data: Data, context: ActionContext) -> None:
    _file(context, "thing").unlink(missing_ok=True)


@app.task(name="market.label")
def label(context: ActionContext) -> None:
    """Be a step as a Celery task."""
    _file(context, "label").touch()


@app.task(name="market.unlabel")
def unlabel(context: ActionContext) -> None:
    """Undo that."""
    _file(context, "label").unlink(missing_ok=True)
