"""A task of an app's own that is told of sagas which need a person."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from celery import shared_task


@shared_task(name="tests.told")
def told(notice: dict[str, Any]) -> None:
    """Write down what was said."""
    path = Path(os.environ["TOLD_FILE"])
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(notice))
    unfinished.rename(path)
