"""What a worker hosts for swarms: names, pools, and how others are told of it."""

from __future__ import annotations

import pytest

from orchestration import agents
from orchestration.agents import Partition, PartitionResult, pool_hash
from orchestration.core.swarm import providers
from orchestration.core.swarm.providers import (
    find_data_source,
    find_fitness,
    find_partition_handler,
)
from orchestration.errors import ConfigurationError


@pytest.fixture(autouse=True)
def nothing_hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_HOSTED", {})


def nothing(partition: Partition, metadata: object) -> None:
    return None


class Numbers:
    def __init__(self) -> None:
        self.all = list(range(10))

    def count(self) -> int:
        return len(self.all)

    def slice(self, index: int, of: int) -> list[int]:
        return self.all[index::of]


def test_what_is_defined_is_found_by_its_kind_and_name() -> None:
    @agents.partition_handler("numbers")
    def handle(partition: Partition, metadata: object) -> PartitionResult:
        return PartitionResult(rows=len(partition.rows))

    @agents.fitness("numbers")
    def value(positions: object) -> object:
        return positions

    agents.data_source("numbers")(Numbers)
    assert find_partition_handler("numbers") is handle
    assert find_fitness("numbers") is value
    assert find_partition_handler("others") is None
    source = find_data_source("numbers")
    assert source is not None
    assert source.slice(1, 5) == [1, 6]
    assert find_data_source("numbers") is source  # made once


def test_a_source_may_be_an_object() -> None:
    made = agents.data_source("numbers")(Numbers())
    assert find_data_source("numbers") is made


def test_a_source_without_its_methods_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no count and no slice: give it"):
        agents.data_source("numbers")(object())


@pytest.mark.parametrize("name", ["", "two words", "a/b", "@x"])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="use letters"):
        agents.partition_handler(name)(nothing)


def test_a_name_is_given_once() -> None:
    agents.partition_handler("numbers")(nothing)
    with pytest.raises(ConfigurationError, match="handler 'numbers' is defined twice"):
        agents.partition_handler("numbers")(nothing)


def test_workers_of_one_pool_are_compared_by_what_they_provide() -> None:
    before = pool_hash(())
    agents.partition_handler("numbers")(nothing)
    assert pool_hash((), providers.providers()) != before


def test_no_agent_can_have_the_name_by_which_a_handler_is_announced() -> None:
    agents.partition_handler("numbers")(nothing)
    [provided] = providers.providers()
    with pytest.raises(ConfigurationError):
        agents.Agent(provided.announced_as)
