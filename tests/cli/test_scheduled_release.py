"""Several processes of a busy city change to a scheduled release at its instant, and no request sees half of it."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from backend.city.releases import Activation, read_pointer, store_pointer, store_release, with_activation
from backend.city.service import City
from backend.cli.in_city import run_in_city
from backend.rulebook import Rulebook, load_rulebook, read_rules
from backend.rulebook.needs import facts_of
from tests.cli.command import running
from tests.cli.test_login import draft
from tests.conftest import ROOT, SignIn

pytestmark = pytest.mark.slow

PROCESSES = 2
AHEAD = timedelta(seconds=8)
MAX_LATE_SECONDS = 5
OLD, NEW = "Nothing found", "All is well"


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[httpx.Client]]:
    """Start several servers of one city."""
    own = {
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_STORE": f"sqlite:///{tmp_path}/city.db",
        "CHENGMA_SANDBOX": f"{tmp_path}/sandbox.db",
        "CHENGMA_KEYS": str(tmp_path / "keys"),
        "CHENGMA_DEVELOPMENT": "true",
        "CHENGMA_PERSON_REQUESTS_PER_MINUTE": "100000",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    with ExitStack() as stack:
        clients: list[httpx.Client] = []
        for number in range(PROCESSES):
            folder = tmp_path / str(number)
            folder.mkdir()
            environment = inherited | own | {"PYTHONPATH": str(ROOT), "CHENGMA_PORT": free_port()}
            client, _ = stack.enter_context(running("serve", environment=environment, folder=folder))
            clients.append(client)
        yield clients


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def schedule(folder: Path, at: datetime) -> Rulebook:
    """Schedule a folder of rules in the city of the environment, and return its rulebook."""
    made: list[Rulebook] = []

    async def work(city: City) -> None:
        rulebook = load_rulebook(folder, facts_of(city.rule_modules), ZoneInfo(city.settings.time_zone))
        await store_release(city.store, read_rules(folder), rulebook, city.now())
        entry = Activation(rulebook.digest, at)
        await store_pointer(city.store, with_activation(await read_pointer(city.store), entry, city.now()))
        made.append(rulebook)

    run_in_city(work)
    return made[0]


def test_every_process_serves_a_scheduled_release_within_five_seconds_and_never_half_of_it(
    servers: list[httpx.Client], tmp_path: Path
) -> None:
    headers = SignIn(servers[0])("13800138000", name="王芳")  # pyright: ignore[reportArgumentType]  a client all the same
    at = datetime.now(UTC) + AHEAD
    digest = schedule(draft(tmp_path / "draft", NEW), at).digest
    end = at + timedelta(seconds=MAX_LATE_SECONDS)
    seen: list[list[tuple[datetime, datetime, str, str]]] = [[] for _ in servers]

    def ask(number: int) -> Callable[[], None]:
        def run() -> None:
            while datetime.now(UTC) < end:
                before = datetime.now(UTC)
                code = servers[number].get("/v1/me/health-code", headers=headers).json()
                seen[number].append((before, datetime.now(UTC), code["because"]["en"], code["rulebook"]))
                time.sleep(0.01)

        return run

    threads = [threading.Thread(target=ask(number)) for number in range(len(servers)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for answers in seen:
        assert {(reason, rulebook == digest) for _, _, reason, rulebook in answers} == {(OLD, False), (NEW, True)}
        assert all(answered >= at for _, answered, reason, _ in answers if reason == NEW), "not before its instant"
        late = [asked - at for asked, _, reason, _ in answers if reason == OLD]
        assert max(late) < timedelta(seconds=MAX_LATE_SECONDS)
