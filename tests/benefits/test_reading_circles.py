"""The benefits engine serves a service that it was not written for, in which firms claim."""

from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule
from msgspec.structs import replace

from backend.benefits.claims import lose_entitlement
from backend.store.place import Place
from backend.store.update import update_document
from tests.benefits.circle_rules import GRANTS, write_rules
from tests.benefits.machine import KILL, ClaimMachine, drop_entries_at_once, run_machine
from tests.benefits.reading_circles import Circle, CircleClaim, claim_grant, grants, library, service
from tests.benefits.world import World, card_number

pytestmark = pytest.mark.slow

BUDGETS_FEN = (0, 100_00, 150_01, 400_00)
WHO = st.integers(0, 3)
GRANT = st.sampled_from(sorted(GRANTS))


class ReadingCircles(ClaimMachine):
    """Circles claim, hold evenings, state false expenses, and are closed."""

    saga = grants
    budgets = len(BUDGETS_FEN)

    def make_subjects(self) -> Sequence[Any]:
        library.timeouts = 0
        return [self._register(members) for members in (25, 8, 8, 30)]

    def _register(self, members: int) -> Any:  # noqa: ANN401  a subject
        serial, city = next(self.world.serial), self.world.real
        number, name = card_number(serial), f"circle-{serial}"
        library.members[name] = members
        circle = Circle(
            id=name, chair=f"chair-{serial}", account=city.encryption.encrypt(number, Place.of(Circle, name, "account"))
        )
        self.world.run(lambda: city.store.insert(circle))
        return _Subject(name, number)

    def review_subjects(self) -> None:
        """Cancel open instalments of closed circles, in case the process that closed them was killed."""
        for subject in self.subjects:
            self.attempt(lambda one=subject: self._cancel_open_instalments(one.id))

    async def _cancel_open_instalments(self, circle_id: str) -> None:
        city = self.city
        circle = await city.store.get(Circle, circle_id)
        if circle is not None and circle.closed_at is not None:
            await lose_entitlement(grants, city, circle)

    def _claim(self, who: int, grant: str, tap: int, spent_fen: int) -> Awaitable[CircleClaim]:
        return claim_grant(self.city, self.subjects[who].id, grant, f"{tap}", spent_fen)

    @rule(who=WHO, grant=GRANT, spent=st.integers(0, 90_00), kill=KILL)
    def claims(self, who: int, grant: str, spent: int, kill: int | None) -> None:
        self.schedule_kill(kill)
        self.taps += 1
        self.attempt(lambda: self._claim(who, grant, self.taps, spent))

    @rule(grant=GRANT, kill=KILL)
    def all_claim_twice_at_once(self, grant: str, kill: int | None) -> None:
        self.schedule_kill(kill)
        self.taps += 1
        everybody = [*range(len(self.subjects))] * 2
        self.attempt_at_once(*(lambda one=who: self._claim(one, grant, self.taps, 55_55) for who in everybody))

    @rule(who=WHO, held=st.sampled_from([3, 12]))
    def evenings_are_held(self, who: int, held: int) -> None:
        library.evenings[self.subjects[who].id] = held

    @rule(who=WHO, fen=st.integers(0, 60_00))
    def invoices_are_found(self, who: int, fen: int) -> None:
        library.invoiced_fen[self.subjects[who].id] = fen

    @rule(who=WHO, members=st.sampled_from([4, 8, 25]))
    def the_number_of_members_turns_out_false(self, who: int, members: int) -> None:
        library.members[self.subjects[who].id] = members

    @rule(who=WHO, held=st.sampled_from([0, 3]))
    def a_circle_claims_for_members_that_it_does_not_have(self, who: int, held: int) -> None:
        library.members[self.subjects[who].id] = 25
        self.evenings_are_held(who, held)
        self.claims(who, "evenings", 0, None)
        self.the_number_of_members_turns_out_false(who, 8)
        self.time_passes(24 * 4)

    @rule(times=st.integers(1, 3))
    def the_library_will_not_answer(self, times: int) -> None:
        library.timeouts = times

    @rule(who=WHO, kill=KILL)
    def a_circle_is_closed(self, who: int, kill: int | None) -> None:
        self.schedule_kill(kill)
        circle_id = self.subjects[who].id

        async def close() -> None:
            city = self.city

            def closed(circle: Circle) -> Circle:
                return circle if circle.closed_at is not None else replace(circle, closed_at=city.now())

            await update_document(city.store, lambda: city.store.get(Circle, circle_id), closed)
            await self._cancel_open_instalments(circle_id)

        self.attempt(close)

    def teardown(self) -> None:
        library.timeouts = 0
        super().teardown()

    def check_service(self, claims: list[CircleClaim]) -> None:
        """Open instalments are cancelled when a circle is closed, if the terms say so."""
        circles = self.world.run(lambda: self.world.real.store.get_many(Circle, [one.id for one in self.subjects]))
        for claim in claims:
            lost = grants.benefits.entitlement_lost(circles[claim.subject], claim)
            if lost and claim.after_withdrawal == "stop":
                assert claim.sum_fen("open") == 0
                assert claim.state != "waiting"
            assert (claim.subject_kind, claim.contact) == ("firm", circles[claim.subject].chair)


class _Subject:
    def __init__(self, circle_id: str, account: str) -> None:
        self.id, self.account = circle_id, account


@pytest.fixture
def world(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    drop_entries_at_once(monkeypatch)
    rules = [write_rules(tmp_path / f"rules-{fen}", fen) for fen in BUDGETS_FEN]
    ReadingCircles.world = world = World(tmp_path, address, [service], rules, "pymongo")
    yield world
    world.close()


def test_whatever_happens_every_fen_is_accounted_for(world: World, address: str) -> None:
    run_machine(ReadingCircles, world, address)
