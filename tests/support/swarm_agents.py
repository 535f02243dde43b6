"""Handlers of partitions that do as a test's metadata says."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.agents import (
    Partition,
    PartitionResult,
    data_source,
    partition_handler,
)
from orchestration.errors import NonRetryable


@data_source("numbers")
class Numbers:
    """The numbers from 0 to 999."""

    def count(self) -> int:
        return 1_000

    def slice(self, index: int, of: int) -> list[int]:
        return list(range(index, self.count(), of))


@partition_handler("sums")
def sums(partition: Partition, metadata: Mapping[str, Any]) -> int:
    """A plain number is the value; its rows are those of the source."""
    return sum(partition.rows)


@partition_handler("asynchronous")
async def asynchronous(partition: Partition, metadata: Mapping[str, Any]) -> Any:
    await asyncio.sleep(0)
    return {"index": partition.index}


@partition_handler("work")
def work(partition: Partition, metadata: Mapping[str, Any]) -> PartitionResult:
    """Do as it is told.

    ``touched``: a file that each attempt is noted in; ``gate``: a file to wait for;
    ``busy_ms``: how long it takes, by partition; ``failing``: how often a partition
    fails; ``hopeless``: partitions that need not be tried again; ``kills``: a file
    without which the process ends; ``returns``: what comes of it.
    """
    index = partition.index
    if "touched" in metadata:
        with Path(metadata["touched"]).open("a") as file:
            file.write(f"{index} {partition.agent} {partition.attempt}\n")
    if "kills" in metadata and index == 0 and not Path(metadata["kills"]).exists():
        Path(metadata["kills"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while "gate" in metadata and not Path(metadata["gate"]).exists():
        time.sleep(0.01)
    if "busy_ms" in metadata:
        time.sleep(metadata["busy_ms"][index] / 1_000)
    if index in metadata.get("hopeless", ()):
        raise NonRetryable("of no use")
    if partition.attempt <= metadata.get("failing", {}).get(str(index), 0):
        raise ValueError(f"attempt {partition.attempt} fails")
    if "returns" in metadata:
        return PartitionResult(**metadata["returns"])
    return PartitionResult(rows=10, quality=1.0, value=index * index)
