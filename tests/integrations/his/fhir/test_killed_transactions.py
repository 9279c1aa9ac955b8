"""A transaction over several visits leaves no part of itself behind, whenever its process is killed."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backend.city.id_number import parse_id_number
from backend.city.person import find_or_create_person
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.model.visit_transaction import VisitTransaction
from backend.services.medical_credit.visit_transactions import transaction_saga
from integrations.his.fhir.bundle import ResponseOptions, process_bundle
from integrations.his.fhir.context import RequestContext
from tests.integrations.his.fhir.hospital_system import Json, bundle, charge, encounter, entry
from tests.services.health_code.scene import id_number
from tests.services.killing import Killed, KillingStore
from tests.services.medical_credit.scene import FACTS, NOON
from tests.services.medical_credit.world import HOSPITALS, World

VISITS = 5
WRITES = VISITS + 2
"""The transaction, each visit, and the end of the transaction."""


class DyingStore(KillingStore):
    """Once killed, writes nothing any more until the process starts again."""

    dead = False

    async def _write(self, write: Any, document: Any) -> Any:  # noqa: ANN401  as in KillingStore
        if self.dead:
            raise Killed
        try:
            return await super()._write(write, document)
        except Killed:
            self.dead = True
            raise


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.store = DyingStore(world.city.store)
        world.city = replace(world.city, store=world.store)
        yield world
        world.run(world.city.store.close)
        world.runner.close()


def enrolled(world: World) -> str:
    """Return the ID number of a new person who may pay later."""
    number = id_number(next(world.serial), 1990)

    async def enrol() -> None:
        known = parse_id_number(number, world.city.today())
        person = await find_or_create_person(world.city.store, world.city.encryption, known, NOON)
        await world.city.store.insert(
            Enrolment(
                id=person.id,
                agreement="2026-01",
                consented_at=NOON,
                automatic_debit=False,
                facts=FACTS,
                facts_at=NOON + timedelta(days=10_000),
            )
        )

    world.run(enrol)
    return number


def numbers(world: World) -> list[str]:
    first = next(world.serial)
    return [f"K{first}-{place}" for place in range(VISITS)]


def bundle_of(visits: list[str], patient: str, line: str) -> Json:
    """Return a transaction that opens the visits, unless they are open, and charges each."""
    entries = list[Json]()
    for number in visits:
        entries.append(entry("POST", "Encounter", encounter(patient, number), f"urn:visit:{number}"))
        entries.append(entry("POST", "ChargeItem", charge(f"urn:visit:{number}", line, 5)))
    return bundle("transaction", *entries)


def send(world: World, body: Json) -> None:
    context = RequestContext(world.city, HOSPITALS[0], "http://city.example/fhir", ("system/*.cruds",))
    world.run(lambda: process_bundle(context, body, ResponseOptions("minimal", "en", "test")))


def lines(world: World, visits: list[str]) -> set[int]:
    """Return the numbers of lines that the visits have; -1 for a visit that is not open."""
    ids = [visit_id(HOSPITALS[0].id, number) for number in visits]
    found = world.run(lambda: world.city.store.get_many(Visit, ids))
    return {len(found[one].lines) if one in found else -1 for one in ids}


def start_again(world: World) -> None:
    assert isinstance(world.store, DyingStore)
    world.store.countdown, world.store.dead = None, False


def recover(world: World) -> None:
    start_again(world)
    world.clock.now += timedelta(seconds=6)
    world.run(lambda: transaction_saga.sweep(world.city))
    assert world.run(lambda: world.city.store.count(VisitTransaction, {})) == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("countdown", range(WRITES))
def test_a_kill_during_a_transaction_leaves_all_or_nothing(world: World, countdown: int, after: bool) -> None:
    patient, visits = enrolled(world), numbers(world)
    for line, empty in (("L1", -1), ("L2", 1)):
        world.store.countdown, world.store.after = countdown, after
        with suppress(Killed):
            send(world, bundle_of(visits, patient, line))
        recover(world)
        is_accepted = countdown > 0 or after
        assert lines(world, visits) == ({max(empty, 0) + 1} if is_accepted else {empty})
        send(world, bundle_of(visits, patient, line))  # the hospital, which got no answer, sends it again
        assert lines(world, visits) == {max(empty, 0) + 1}


@pytest.mark.parametrize("countdown", range(WRITES))
def test_a_transaction_that_cannot_be_completed_any_more_is_undone(world: World, countdown: int) -> None:
    """After the kill and before the sweep, another system changes the last visit."""
    patient, visits = enrolled(world), numbers(world)
    send(world, bundle_of(visits, patient, "L1"))
    world.store.countdown, world.store.after = countdown, False
    with suppress(Killed):
        send(world, bundle_of(visits, patient, "L2"))
    start_again(world)
    send(world, bundle_of(visits[-1:], patient, "OTHER"))
    recover(world)
    assert lines(world, visits[:-1]) in ({1}, {2})
    both = lines(world, visits[-1:]) | {one + 1 for one in lines(world, visits[:-1])}
    assert len(both) == 1
