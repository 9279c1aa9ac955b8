"""`POST /fhir/ChargeItem` on a real server, compared with a bare route that only validates with fhir.resources."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.app import documents_of, open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.security.identity import Access, Caller
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import OpenVisit
from backend.services.medical_credit.model.visit import visit_id
from backend.services.medical_credit.saga import visit_saga
from backend.settings import Settings
from backend.store.connect import prepare_store
from tests.bench.health_code_read import CONNECTIONS, LAST_CORE, ROOT, ask, free_port, server
from tests.bench.report import Table
from tests.city.under_load.test_visits import charge
from tests.integrations.his.hospital import connect, enrol
from tests.services.health_code.scene import id_number

VISITS, ROUNDS = 400, 10
"""Each visit gets ten charges of each form, like a typical outpatient visit."""

FORMS: Mapping[str, Mapping[str, object]] = {
    "in the common form": {},
    "with a note, validated by fhir.resources": {"note": [{"text": "复诊"}]},
}


def compare() -> Table:
    """Create charges of many visits, each once, and validate as many with the bare route."""
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory()))
        store = f"sqlite:///{folder}/city.db"
        settings = Settings(
            store=store, keys=str(folder / "keys"), sandbox=str(folder / "sandbox.db"), rules=str(ROOT / "rules")
        )
        prepare_store(store, documents_of(discover_services()))
        token = asyncio.run(_create_visits(settings))
        ours, bare = free_port(), free_port()
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CHENGMA_STORE": store,
            "CHENGMA_KEYS": settings.keys,
            "CHENGMA_SANDBOX": settings.sandbox,
            "CHENGMA_RULES": settings.rules,
            "CHENGMA_PORT": str(ours),
            "CHENGMA_SYSTEM_REQUESTS_PER_MINUTE": "100000000",
        }
        migrated = subprocess.run([sys.executable, "-m", "backend", "migrate"], env=environment, cwd=ROOT, check=True)
        assert migrated.returncode == 0
        running.enter_context(server(["-m", "backend", "serve"], ours, environment, folder / "ours.log"))
        running.enter_context(
            server(["-m", "tests.bench.bare_fhir", str(bare)], bare, environment, folder / "bare.log")
        )
        return _measure(token, ours, bare)


def _measure(token: str, ours: int, bare: int) -> Table:
    os.sched_setaffinity(0, {LAST_CORE})
    rows = list[tuple[str, ...]]()
    for number, (form, extra) in enumerate(FORMS.items()):
        rates: list[tuple[float, float]] = []
        for round_ in range(ROUNDS):
            batch = _requests(token, number * ROUNDS + round_, extra)
            rates.append((_rate(ours, batch), _rate(bare, batch)))
        mine, theirs = zip(*rates, strict=True)
        ratio = statistics.median(one / other for one, other in rates)
        rows.append((form, f"{statistics.median(mine):,.0f}", f"{statistics.median(theirs):,.0f}", f"**{ratio:.2f}**"))
    return Table(
        "fhir_charge_item",
        "`POST /fhir/ChargeItem`: token, scopes, validation, mapping, the visit's rules, one durable write to the "
        f"embedded file, and the resource returned; {VISITS} visits with {ROUNDS} charges of each form, compared with "
        "a bare Litestar route that validates the same body with fhir.resources and returns it. We validate the most "
        "common form of charges with msgspec, and others with fhir.resources. One uvicorn worker each, "
        f"{CONNECTIONS} connections, one client process on its own core, {ROUNDS} alternating rounds. Target for the "
        "common form: 0.5 or more.",
        ("charges", "our requests per second", "bare route", "ratio"),
        rows,
    )


async def _create_visits(settings: Settings) -> str:
    city = open_city(settings, discover_services(), discover_integrations("integrations"))
    hospital = await connect(city)
    patients = [id_number(number) for number in range(100)]
    for number in patients:
        await enrol(city, number)
    for number in range(VISITS):
        opening = OpenVisit(patients[number % len(patients)], "emergency", datetime.now(UTC))
        opened = await handle_command(city, hospital, f"V{number}", opening, f"open-{number}")
        await visit_saga.resume(city, opened.id)
    token = _token(city)
    await city.store.close()
    return token


def _token(city: City) -> str:
    access = Access(city.settings, city.keys, city.now)
    caller = Caller("hospital:HZ001", "bench", roles=("hospital",), scopes=("system/*.cruds",))
    return access.issue(caller, datetime.now(UTC), 3_600)


def _requests(token: str, round_: int, extra: Mapping[str, object]) -> list[bytes]:
    requests: list[bytes] = []
    at = datetime.now(UTC).isoformat()
    for number in range(VISITS):
        encounter = f"Encounter/{visit_id('HZ001', f'V{number}')}"
        body = json.dumps(charge(encounter, round_, at) | extra).encode()
        head = (
            "POST /fhir/ChargeItem HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/fhir+json\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


def _rate(port: int, requests: Sequence[bytes]) -> float:
    seconds, _ = ask(port, requests)
    return len(requests) / seconds
