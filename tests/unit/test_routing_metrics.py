"""The router's metrics: noted cheaply, exact when they are read."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, generate_latest

from orchestration.metrics import RoutingMetrics, routing_metrics


def test_what_is_scraped_is_exact() -> None:
    registry = CollectorRegistry()
    metrics = RoutingMetrics(registry)
    for at in range(2_500):
        metrics.note("LEAST_LOADED", 0.004, cached=at % 2 == 0)
    metrics.note("", 0.5, "no_route")
    text = generate_latest(registry).decode()
    for line in (
        'routing_messages_total{status="routed",strategy="LEAST_LOADED"} 2500.0',
        'routing_messages_total{status="no_route",strategy=""} 1.0',
        "routing_cache_hits_total 1250.0",
        "routing_latency_ms_count 2501.0",
        'routing_latency_ms_bucket{le="0.002"} 0.0',
        'routing_latency_ms_bucket{le="0.005"} 2500.0',
        'routing_latency_ms_bucket{le="0.5"} 2501.0',
    ):
        assert line in text


def test_each_metric_is_exact_by_itself() -> None:
    for name in (
        "routing_cache_hits_total",
        "routing_latency_ms_count",
        "routing_messages_total",
    ):
        registry = CollectorRegistry()
        RoutingMetrics(registry).note("BROADCAST", 1.0, cached=True)
        told = registry.restricted_registry([name]).collect()
        samples = [one for family in told for one in family.samples]
        assert [one.value for one in samples if one.name == name] == [1.0]


def test_threads_lose_nothing() -> None:
    registry = CollectorRegistry()
    metrics = RoutingMetrics(registry)

    def work() -> None:
        for _ in range(3_000):
            metrics.note("ROUND_ROBIN", 0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        generate_latest(registry)
    for thread in threads:
        thread.join()
    labels = {"strategy": "ROUND_ROBIN", "status": "routed"}
    assert registry.get_sample_value("routing_messages_total", labels) == 12_000
    assert registry.get_sample_value("routing_latency_ms_count") == 12_000


def test_a_process_has_one_set_of_metrics() -> None:
    assert routing_metrics() is routing_metrics()
