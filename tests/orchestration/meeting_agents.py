"""An agent whose undos end only when all of them have met, so that they run at once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from orchestration.agents import ActionContext, Agent

meeting = Agent("agent-meeting")


@meeting.action("arrive")
def arrive(_data: dict[str, Any], _context: ActionContext) -> None:
    """Do nothing that matters."""


@meeting.action("meet")
def meet(_data: dict[str, Any], context: ActionContext) -> None:
    """Say that this step is here, and wait for the others that its metadata names."""
    folder = Path(os.environ["MEETING"]) / context.saga_id
    folder.mkdir(exist_ok=True)
    (folder / context.step).touch()
    while not all((folder / name).exists() for name in context.metadata["others"]):
        time.sleep(0.01)
