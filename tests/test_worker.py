"""Background jobs through a real Redis and real workers: run once, retried, dead-lettered, enqueued again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.city.service import discover_services, rule_modules_of
from backend.jobs.celery import CeleryQueue, beat_schedule
from backend.jobs.tasks import DeadLetter, Job, discover_tasks
from backend.rulebook import load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.health_code.model import HealthEventReceipt, HealthRecord, new_record
from backend.services.health_code.reports import ContactReported
from backend.settings import Settings
from backend.store import Store
from tests.city.under_load.errands import Errand
from tests.conftest import ROOT, work_in
from tests.servers import Process, city_environment, wait_until

pytestmark = pytest.mark.slow


class RunningWorker:
    """A worker with its Redis and MongoDB."""

    def __init__(self, folder: Path, store: str, broker: str) -> None:
        self.folder, self.store = folder, store
        self.notes = folder / "notes"
        self.notes.touch()
        self.environment = city_environment(folder, store, broker) | {"ERRANDS": str(self.notes)}
        assert self.chengma("migrate").returncode == 0
        self.jobs = CeleryQueue(Settings(broker=broker))
        arguments = [sys.executable, "-c", "from tests.city.under_load.errands import run_worker; run_worker()"]
        self.process = Process(arguments, folder / "worker.log", self.environment)
        wait_until(lambda: "is in force" in self.process.log_text(), self.process.log_text)

    def chengma(self, *command: str) -> "subprocess.CompletedProcess[str]":
        arguments = [sys.executable, "-m", "backend", *command]
        return subprocess.run(arguments, env=self.environment, capture_output=True, text=True, check=False)

    def send(self, task: str, *arguments: str | int, job_id: str = "job") -> None:
        self.jobs.publish(Job(task, arguments, job_id))

    def attempts(self, name: str) -> list[int]:
        """Return the processes that started an errand of this name."""
        lines = (line.split() for line in self.notes.read_text().splitlines())
        return [int(process) for known, process in lines if known == name]

    def stored(self, kind: type, document_id: str) -> object:
        async def read(store: Store) -> object:
            return await store.get(kind, document_id)

        return work_in(self.store, read, [Errand])

    def dead(self) -> list[str]:
        return self.chengma("jobs", "list").stdout.splitlines()


@pytest.fixture
def worker(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[RunningWorker]:
    worker = RunningWorker(tmp_path, database_url, f"{redis_url.rpartition('/')[0]}/1")
    yield worker
    worker.process.stop()
    worker.jobs._app.connection_for_write().default_channel.queue_purge("chengma")
    worker.jobs._app.close()


def test_a_worker_runs_each_job_once(worker: RunningWorker) -> None:
    for number in range(20):
        worker.send("under_load.store_slowly", f"errand-{number}", 1, job_id=f"job-{number}")
    wait_until(lambda: worker.attempts("errand-19") and not worker.jobs.waiting(), worker.process.log_text)
    wait_until(lambda: worker.stored(Errand, "errand-19"))
    assert [len(worker.attempts(f"errand-{number}")) for number in range(20)] == [1] * 20


def test_a_job_whose_worker_is_killed_is_delivered_again_and_takes_effect_once(worker: RunningWorker) -> None:
    worker.send("under_load.store_slowly", "slow", 1_000)
    wait_until(lambda: worker.attempts("slow"), worker.process.log_text)
    os.kill(worker.attempts("slow")[0], signal.SIGKILL)
    wait_until(lambda: len(worker.attempts("slow")) == 2, worker.process.log_text)
    wait_until(lambda: worker.stored(Errand, "slow"))
    one, other = worker.attempts("slow")
    assert one != other
    assert worker.stored(Errand, "slow") == Errand(id="slow", revision=1)
    wait_until(lambda: worker.stored(DeadLetter, "job") is None)
    assert worker.dead() == ["0 jobs failed permanently."]


def test_a_job_that_kills_each_worker_becomes_a_dead_letter(worker: RunningWorker) -> None:
    worker.send("under_load.crash", "poison")
    wait_until(lambda: "poison" in "".join(worker.dead()), worker.process.log_text)
    assert len(worker.attempts("poison")) == 3
    assert worker.dead()[0].startswith(
        "job  under_load.crash('poison',)  after 0 attempts: 3 workers died while running it"
    )
    worker.send("under_load.store_slowly", "afterwards", 1)
    wait_until(lambda: worker.stored(Errand, "afterwards"), worker.process.log_text)


def test_a_failed_job_is_retried_dead_lettered_and_enqueued_again(worker: RunningWorker) -> None:
    worker.send("under_load.fail", "failing")
    wait_until(lambda: len(worker.dead()) == 2, worker.process.log_text)
    assert len(worker.attempts("failing")) == 2
    line, counted = worker.dead()
    assert line == "job  under_load.fail('failing',)  after 2 attempts: RuntimeError: this attempt fails"
    assert counted == "1 jobs failed permanently. `chengma jobs retry ID` retries one."
    assert worker.chengma("jobs", "retry", "job").stdout == "under_load.fail is enqueued again.\n"
    wait_until(lambda: len(worker.attempts("failing")) == 4, worker.process.log_text)
    found = worker.chengma("jobs", "retry", "nothing")
    assert (found.returncode, found.stderr.splitlines()) == (
        1,
        ["Error: no failed job has the id nothing; `chengma jobs list` lists the failed jobs"],
    )


def test_a_task_that_takes_too_long_is_stopped(worker: RunningWorker) -> None:
    worker.send("under_load.exceed_time_limit", "slow")
    wait_until(lambda: len(worker.dead()) == 2, worker.process.log_text)
    assert "TimeoutError" in worker.dead()[0]


def test_a_stopping_worker_finishes_its_job(worker: RunningWorker) -> None:
    worker.send("under_load.store_slowly", "last", 1_500)
    wait_until(lambda: worker.attempts("last"), worker.process.log_text)
    assert worker.process.stop() == 0
    assert worker.stored(Errand, "last") == Errand(id="last", revision=1)


def test_interrupted_events_are_completed_through_beat(worker: RunningWorker) -> None:
    event = ContactReported("close", datetime(2022, 4, 19, tzinfo=UTC))
    receipt = HealthEventReceipt(id="r", payload="p", person="wang", event=event, due_ms=1)

    async def insert_unapplied(store: Store) -> None:
        rulebook = load_rulebook(
            ROOT / "rules", facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai")
        )
        await store.insert(new_record("wang", "code-id-wang", None, rulebook, datetime(2022, 4, 20, tzinfo=UTC)))
        await store.insert(receipt)

    work_in(worker.store, insert_unapplied)
    beat = Process([sys.executable, "-m", "backend", "beat"], worker.folder / "beat.log", worker.environment)
    try:
        wait_until(lambda: getattr(worker.stored(HealthEventReceipt, "r"), "applied", False), beat.log_text)
    finally:
        assert beat.stop() == 0
    record = worker.stored(HealthRecord, "wang")
    assert isinstance(record, HealthRecord)
    assert [report.key for report in record.reports] == ["r"]


def test_the_schedule_contains_the_sweeps_and_lets_none_pile_up() -> None:
    schedule = beat_schedule(discover_tasks())
    assert schedule.keys() == {
        "account.sweep_closures",
        "account.sweep_identity_cases",
        "account.sweep_notices",
        "account.sweep_proposals",
        "account.sweep_sessions",
        "audit.sweep_acts",
        "audit.sweep_machine_acts",
        "health_code.sweep_events",
        "health_code.sweep_scans",
        "medical_credit.sweep_consents",
        "medical_credit.sweep_messages",
        "medical_credit.sweep_reconciliations",
        "medical_credit.sweep_transactions",
        "medical_credit.sweep_visits",
        "medical_credit.delete_expired",
        "rules.sweep_activations",
        "rules.sweep_reviews",
        "talent_code.sweep_claims",
        "talent_code.sweep_talents",
        "talent_code.sweep_usages",
        "talent_code.sweep_waitlists",
    }
    for entry in schedule.values():
        assert entry["options"]["expires"] <= entry["schedule"].total_seconds()


def test_a_worker_without_a_broker_reports_what_it_needs(tmp_path: Path) -> None:
    environment = city_environment(tmp_path, f"sqlite:///{tmp_path}/city.db", "")
    for command in ("worker", "beat"):
        found = subprocess.run(
            [sys.executable, "-m", "backend", command], env=environment, capture_output=True, text=True, check=False
        )
        assert found.returncode == 1
        assert found.stderr.startswith("Error: CHENGMA_BROKER is empty")


def test_a_worker_logs_json_and_names_the_rulebook(worker: RunningWorker) -> None:
    lines = [json.loads(line) for line in worker.process.log_text().splitlines() if line.startswith("{")]
    assert any("is in force" in line["message"] for line in lines)
