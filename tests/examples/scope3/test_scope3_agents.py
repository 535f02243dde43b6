"""The handler and the source, called as a worker calls them."""

from __future__ import annotations

import pytest

from examples.scope3.agents import SUPPLIERS, supplier_database
from examples.scope3.emissions import Totals
from examples.scope3.factors import read_factors
from orchestration.agents import Partition, PartitionResult
from orchestration.core.swarm.providers import find_data_source, find_partition_handler


def handled(index: int, of: int, **metadata: str) -> PartitionResult:
    source, handler = find_data_source(SUPPLIERS), find_partition_handler(SUPPLIERS)
    assert source is not None
    assert handler is not None
    rows = source.slice(index, of)
    result = handler(Partition(index=index, of=of, rows=rows), metadata)
    assert isinstance(result, PartitionResult)
    return result


def test_a_partition_comes_to_what_its_suppliers_do(monkeypatch):
    monkeypatch.setenv("SCOPE3_SUPPLIERS", "950")
    result = handled(3, 10, emission_factors="ghg_protocol_2024")
    totals = Totals.of(supplier_database().between(285, 380), read_factors())
    assert result.rows == 95
    assert result.quality == totals.reporting / 95
    assert Totals.from_json(result.value) == totals


def test_the_environment_says_which_suppliers_there_are(monkeypatch):
    monkeypatch.setenv("SCOPE3_SUPPLIERS", "20")
    first = handled(0, 1)
    monkeypatch.setenv("SCOPE3_SEED", "7")
    second = handled(0, 1)
    assert first.rows == second.rows == 20
    assert first.value["spend_cents"] != second.value["spend_cents"]


def test_other_factors_than_those_here_are_refused():
    with pytest.raises(ValueError, match="'ecoinvent': this example has ghg_protocol"):
        handled(0, 1_000, emission_factors="ecoinvent")
