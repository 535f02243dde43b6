"""The supervisor: logs, deaths, the order of stopping, and what is refused."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.adapters.embedded import Command, EmbeddedServerError, Supervisor
from tests.support.processes import process_scan
from tests.support.waiting import wait_until


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


def shell(name: str, script: str, **options: object) -> Command:
    return Command(name=name, argv=["/bin/sh", "-c", script], **options)


def noting(name: str, notes: Path, stage: int) -> Command:
    """A process that notes its name when it is asked to stop."""
    script = f"trap 'echo {name} >> {notes}; exit 0' TERM; echo up; "
    return shell(name, script + "while :; do sleep 0.02; done", stage=stage)


def test_output_goes_to_a_log_and_the_exit_code_is_told(supervisor: Supervisor) -> None:
    supervisor.start(shell("talker", "echo out; echo err >&2; exit 3"))
    wait_until(supervisor.ended, "the process to end")
    assert supervisor.ended() == {"talker": 3}
    assert supervisor.log_tail("talker").splitlines() == ["out", "err"]
    assert supervisor.log_tail("talker", lines=1) == "err"


def test_waiting_for_a_word_ends_with_the_process(supervisor: Supervisor) -> None:
    supervisor.start(shell("talker", "echo ready; echo sorry; exit 3"))
    supervisor.wait_for("talker", "ready")
    with pytest.raises(EmbeddedServerError, match=r"ended \(3\)(.|\n)*sorry"):
        supervisor.wait_for("talker", "steady")


def test_word_of_an_earlier_run_does_not_count(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "kept") as supervisor:
        assert supervisor.run(shell("talker", "echo ready")) == 0
    with Supervisor(tmp_path / "kept") as supervisor:
        assert supervisor.run(shell("talker", "echo silent")) == 0
        assert supervisor.log_text("talker") == "silent\n"


def test_higher_stages_are_stopped_first(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with Supervisor() as supervisor:
        for name, stage in (("broker", 0), ("worker", 1), ("beat", 2), ("chores", 1)):
            supervisor.start(noting(name, notes, stage))
        for name in ("broker", "worker", "beat", "chores"):
            wait_until(
                lambda n=name: "up" in supervisor.log_tail(n), f"{name} to be up"
            )
    first, *middle, last = notes.read_text().split()
    assert (first, sorted(middle), last) == ("beat", ["chores", "worker"], "broker")


def test_process_that_does_not_heed_is_killed_with_its_children(
    supervisor: Supervisor,
) -> None:
    script = "trap '' TERM; sleep 1000 & echo up; while :; do sleep 1000; done"
    supervisor.start(shell("deaf", script, grace_s=0.1))
    wait_until(lambda: supervisor.log_tail("deaf"), "the trap to be set")
    assert supervisor.stop("deaf") == -9
    wait_until(
        lambda: not any("sleep" in line for line in process_scan(supervisor.stack_id)),
        "its children to end",
    )


def test_children_of_a_process_that_died_are_killed(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"sleep 1000 & while [ ! -e {gate} ]; do sleep 0.02; done; exit 1"
    supervisor.start(shell("father", script))

    def child() -> list[str]:
        lines = process_scan(supervisor.stack_id)
        return [line for line in lines if line.endswith(" sleep 1000")]

    wait_until(child, "the child to live")
    assert supervisor.ended() == {}
    gate.touch()
    wait_until(supervisor.ended, "the father to end")
    assert supervisor.ended() == {"father": 1}
    wait_until(lambda: not child(), "the child to end")


def test_environment_is_passed_on_with_additions(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "1")
    show = "import os; print(os.environ.get('INHERITED'), os.environ['ADDED'])"
    argv = [sys.executable, "-S", "-c", show]
    added = {"ADDED": "2"}
    assert supervisor.run(Command(name="all", argv=argv, env=added)) == 0
    assert (
        supervisor.run(Command(name="bare", argv=argv, env=added, bare_env=True)) == 0
    )
    assert supervisor.log_tail("all") == "1 2"
    assert supervisor.log_tail("bare") == "None 2"


def test_name_can_be_used_again_after_its_process_ended(supervisor: Supervisor) -> None:
    supervisor.start(shell("one", "sleep 1000"))
    with pytest.raises(EmbeddedServerError, match="'one' already runs"):
        supervisor.start(shell("one", "sleep 1000"))
    supervisor.stop("one")
    supervisor.start(shell("one", "exit 0"))


def test_missing_program_is_an_error_that_names_it(supervisor: Supervisor) -> None:
    with pytest.raises(EmbeddedServerError, match=r"'typo'.*no-such-program"):
        supervisor.start(Command(name="typo", argv=["/no-such-program"]))


def test_death_of_the_keeper_is_an_error_with_a_way_out(supervisor: Supervisor) -> None:
    supervisor.start(shell("one", "exec sleep 1000"))
    os.kill(supervisor.keeper_pid, signal.SIGKILL)
    with pytest.raises(EmbeddedServerError, match="start the stack again"):
        supervisor.start(shell("two", "sleep 1000"))


def test_closed_supervisor_says_so() -> None:
    with pytest.raises(EmbeddedServerError, match="not open"):
        Supervisor().start(shell("one", "exit 0"))
