"""How fast the event store is, each figure beside a peer's from the same run.

Machines differ, so the ratios count. Both sides of a row are measured in turns, in
short rounds, and the median of each side is taken, so that other work on the machine
disturbs both alike. Threads send the same way on both sides; sixteen connections are
four processes of four threads. Figures without a peer are set beside the level that
we hold ourselves to, and are the best of the rounds.

    python benchmarks/store.py --database-url postgresql://postgres@127.0.0.1/bench
"""

import argparse
import importlib.util
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from statistics import median
from uuid import uuid4

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from benchmarks._bench import Bench, Row, fresh_database
from eventstore import EventStore, NewEvent, canonical_bytes
from eventstore.migrate import migrate

ROUNDS = 5
SECONDS = 0.6
PAYLOAD = {f"field_{i:02}": "0123456789abcdef" for i in range(12)}  # 392 bytes

RAW_TABLE = """
CREATE TABLE IF NOT EXISTS bench_raw (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    version bigint NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    metadata bytea NOT NULL,
    data bytea NOT NULL,
    UNIQUE (stream, version)
)
"""
RAW_INSERT = (
    "INSERT INTO bench_raw (stream, version, event_id, type, metadata, data) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)

Work = Callable[[], int]
"""Does one unit of work and returns how many events it was."""

Worker = Callable[[str], Work]
"""Opens what a thread needs on a database and returns its work."""


def run(bench: Bench) -> list[Row]:
    """Measure everything in a database of its own, which is dropped afterwards."""
    with fresh_database(bench.database_url) as url:
        engine = create_engine(url)
        migrate(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql(RAW_TABLE)
        rows = [
            _versus(name, url, n, _append, _raw_insert)
            for n in (1, 4, 16)
            if bench.wants(name := f"append, {n} connections")
        ]
        name = "append, 4 connections, against eventsourcing's ordered recorder"
        if bench.wants(name) and importlib.util.find_spec("eventsourcing"):
            rows.append(_versus(name, url, 4, _append, _eventsourcing))
        if bench.wants(name := "append, batches of 100, 1 connection"):
            batches = max(_rate(url, 1, _append_batch) for _ in range(ROUNDS))
            rows.append(_row(name, batches, 25_000))
        if bench.wants(name := "verify, 100,000 events"):
            rows.append(_row(name, _verify_rate(engine), 80_000))
        engine.dispose()
    return rows


def _row(name: str, ours: float, peer: float) -> Row:
    return Row(name, round(ours), round(peer), round(ours / peer, 2), "events/s")


def _versus(name: str, url: str, connections: int, ours: Worker, peer: Worker) -> Row:
    """Measure two sides in turns."""
    pairs = [
        (_rate(url, connections, ours), _rate(url, connections, peer))
        for _ in range(ROUNDS)
    ]
    ours_rates, peer_rates = zip(*pairs, strict=True)
    return _row(name, median(ours_rates), median(peer_rates))


def _append(url: str) -> Work:
    """One event per transaction through the public API, one of 50 own streams."""
    store = EventStore.connect(url)
    names = [f"bench-{uuid4().hex}-{i}" for i in range(50)]
    turn = iter(range(10**9))

    def work() -> int:
        store.append(names[next(turn) % 50], [NewEvent("BENCH", PAYLOAD)])
        return 1

    return work


def _append_batch(url: str) -> Work:
    """A hundred events per transaction."""
    store = EventStore.connect(url)
    stream = f"bench-{uuid4().hex}"

    def work() -> int:
        store.append(stream, [NewEvent("BENCH", PAYLOAD) for _ in range(100)])
        return 100

    return work


def _raw_insert(url: str) -> Work:
    """The same event as a plain row: same driver, same engine, same encoding."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    names = [f"bench-{uuid4().hex}-{i}" for i in range(50)]
    turn = iter(range(10**9))

    def work() -> int:
        n = next(turn)
        event = NewEvent("BENCH", PAYLOAD)
        parameters = (
            names[n % 50],
            n // 50 + 1,
            str(event.event_id),
            event.type,
            canonical_bytes(event.metadata),
            canonical_bytes(event.data),
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(RAW_INSERT, parameters)
        return 1

    return work


def _eventsourcing(url: str) -> Work:
    """The recorder that eventsourcing's applications use: a table lock per append."""
    from eventsourcing.persistence import StoredEvent
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

    parts = make_url(url)
    datastore = PostgresDatastore(
        dbname=parts.database or "postgres",
        host=parts.host or "127.0.0.1",
        port=str(parts.port or 5432),
        user=parts.username or "postgres",
        password=parts.password or "",
    )
    recorder = PostgresApplicationRecorder(datastore, events_table_name="bench_peer")
    with _CREATE_LOCK:
        recorder.create_table()
    origins = [uuid4() for _ in range(50)]
    turn = iter(range(10**9))

    def work() -> int:
        n = next(turn)
        event = StoredEvent(
            originator_id=origins[n % 50],
            originator_version=n // 50 + 1,
            topic="BENCH",
            state=canonical_bytes(PAYLOAD),
        )
        recorder.insert_events([event])
        return 1

    return work


_CREATE_LOCK = threading.Lock()


def _rate(url: str, connections: int, worker: Worker) -> float:
    """Events per second with so many connections at work."""
    threads = min(connections, 4)
    processes = connections // threads
    if processes == 1:
        return _threads_rate(url, threads, worker)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes)
    with context.Pool(processes, _share, (ready,)) as pool:
        return sum(
            pool.map(partial(_process_rate, url, threads, worker), [0] * processes, 1)
        )


def _share(barrier: "threading.Barrier") -> None:
    globals()["_ready"] = barrier


def _process_rate(url: str, threads: int, worker: Worker, _: int) -> float:
    globals()["_ready"].wait()
    return _threads_rate(url, threads, worker)


def _threads_rate(url: str, threads: int, worker: Worker) -> float:
    """Let threads work for a while and count."""
    start = threading.Barrier(threads + 1)
    stop = threading.Event()

    def loop() -> int:
        count = 0
        try:
            work = worker(url)
            for _ in range(60):
                work()  # connections, plans and streams are there
        except BaseException:
            start.abort()  # nobody waits for who has failed
            raise
        start.wait()
        while not stop.is_set():
            count += work()
        return count

    with ThreadPoolExecutor(threads) as pool:
        members = [pool.submit(loop) for _ in range(threads)]
        try:
            with suppress(threading.BrokenBarrierError):  # its cause is told below
                start.wait()
            begin = time.perf_counter()
            time.sleep(0 if start.broken else SECONDS)
        finally:
            stop.set()
            start.abort()
        failed = [error for one in members if (error := one.exception())]
        for error in failed:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        count = sum(one.result() for one in members)
        return count / (time.perf_counter() - begin)


def _verify_rate(engine: Engine) -> float:
    """Verify 100,000 events or more."""
    from eventstore.verify import verify

    store = EventStore(engine)
    with engine.connect() as connection:
        count = connection.exec_driver_sql(
            "SELECT count(*) FROM es.events"
        ).scalar_one()
    while count < 100_000:
        events = [NewEvent("BENCH", PAYLOAD) for _ in range(500)]
        store.append(f"bench-{uuid4().hex}", events)
        count += len(events)
    store.sequence()
    best = 0.0
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        report = verify(engine)
        best = max(best, report.events / (time.perf_counter() - begin))
    return best


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database-url", default=os.environ.get("DATABASE_URL"))
    url = parser.parse_args().database_url
    if not url:
        parser.error("name a server with --database-url or DATABASE_URL")
    for row in run(Bench(database_url=url)):
        print(
            "{name:<68}{ours:>9.0f}{peer:>9.0f}  x{ratio:<6}{unit}".format(
                **asdict(row)
            )
        )


if __name__ == "__main__":
    main()
