"""What people send on a busy day, prepared in advance: scans at gates, sign-ins, reports of a laboratory."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec

from backend.city.person import Person
from backend.city.service import City
from backend.codes.signed_code import issue_code as sign
from backend.security.identity import Access, Caller
from backend.services.account.sign_in_codes import issue_code
from backend.services.health_code.code import make_claims
from backend.services.health_code.model import HealthRecord
from backend.services.health_code.sources import ReportingSource, source_id
from backend.services.school_lookup.synthetic_district import synthetic_plan
from backend.store.update import insert_or_get
from tests.accounts import keep_account
from tests.load.city import CODE_SECONDS, Served

GATES, LABORATORIES, OF_A_BATCH = 50, ("lab-north", "lab-south", "lab-east", "lab-west", "lab-centre"), 100
_AT_ONCE = 200


def request(path: str, body: object, headers: Mapping[str, str]) -> bytes:
    """Return a POST request."""
    encoded = msgspec.json.encode(body)
    head = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(encoded)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + encoded


@asynccontextmanager
async def opened(served: Served) -> AsyncIterator[City]:
    """Open the served city for a block."""
    city = served.open()
    try:
        yield city
    finally:
        await city.store.close()


async def token_of(city: City, caller: Caller) -> dict[str, str]:
    """Return the headers of a member of staff, whose account is stored."""
    known = await keep_account(city.store, city.encryption, caller, city.now())
    return {"Authorization": f"Bearer {Access(city.settings, city.keys, city.now).issue(known, city.now())}"}


async def scans(served: Served, count: int) -> list[bytes]:
    """Return verifications of the codes of as many citizens, each at one of fifty gates."""
    async with opened(served) as city:
        gates = [
            (
                f"gate-{number}",
                await token_of(city, Caller(f"gate-{number}", "s", None, ("gate",), (f"gate-{number}",))),
            )
            for number in range(GATES)
        ]
        prepared: list[bytes] = []
        async for record in city.store.scan(HealthRecord):
            claims = make_claims(record.code_id, record.history[-1].colour, city.now(), CODE_SECONDS)
            venue, headers = gates[len(prepared) % GATES]
            body = {"payload": sign(city.keys, claims), "venue": venue, "scan_id": f"scan-{len(prepared):08}"}
            prepared.append(request("/v1/verifications", body, headers))
            if len(prepared) == count:
                break
    return prepared


async def sign_ins(served: Served, count: int) -> list[bytes]:
    """Return sign-ins by as many phones, each from an address of its own and with a code that it was sent."""
    async with opened(served) as city:

        async def prepare(number: int) -> bytes:
            phone = f"139{number:08}"
            challenge, code = await issue_code(city, f"+86{phone}")
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            body = {"phone": phone, "challenge": challenge, "code": code}
            return request("/v1/sessions", body, {"X-Forwarded-For": address})

        prepared: list[bytes] = []
        for some in _parts(range(count)):
            prepared.extend(await asyncio.gather(*map(prepare, some)))
    return prepared


async def results_of_tests(served: Served, batches: int) -> tuple[list[bytes], int]:
    """Return batches of negative results of different citizens, and how many there are in each."""
    async with opened(served) as city:
        headers = await token_of(city, Caller("lab", "s", None, ("health_officer",)))
        for name in LABORATORIES:
            source = ReportingSource(
                id=source_id(city, name), name=name, kind="laboratory", accounts=("lab",), sample_ids=False
            )
            await insert_or_get(city.store, source)
        sampled_at = (city.now() - timedelta(hours=4)).isoformat()
        event = {"kind": "test", "test": "pcr", "result": "negative", "sampled_at": sampled_at}
        results: list[dict[str, object]] = []
        async for person in city.store.scan(Person):
            number, source = len(results), LABORATORIES[len(results) // OF_A_BATCH % len(LABORATORIES)]
            id_number = city.encryption.read(person, "id_number")
            results.append({"source": source, "id": f"result-{number}", "id_number": id_number, "event": event})
            if len(results) == batches * OF_A_BATCH:
                break
    parts = [results[begin : begin + OF_A_BATCH] for begin in range(0, len(results), OF_A_BATCH)]
    return [request("/v1/health-events", {"events": part}, headers) for part in parts], OF_A_BATCH


def school_lookups(count: int) -> list[bytes]:
    """Return lookups of families with addresses all over the synthetic district of 2026."""
    known = synthetic_plan(2026).addresses
    child = {"born_on": "2020-03-10", "registered_since": "2021-05-01"}
    prepared: list[bytes] = []
    for number in range(count):
        at = {"address": known[number % len(known)].address}
        home = {**at, "grandparents_percent": 100}
        family = {"children": [child], "registration": {**at, "parents": "some"}, "homes": [home]}
        prepared.append(request("/v1/school-lookups", {"family": family}, {}))
    return prepared


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for begin in range(0, len(numbers), _AT_ONCE):
        yield numbers[begin : begin + _AT_ONCE]
