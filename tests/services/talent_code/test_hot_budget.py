"""Many people claim from one budget at once, while its amount changes and others leave the line: nothing is lost."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from backend.benefits.budgets import get_or_create_budget
from backend.benefits.problems import NotOnWaitlist
from backend.benefits.waitlist import leave_waitlist, serve_waitlist
from backend.services.talent_code import saga
from backend.services.talent_code.claims import claim_benefit
from backend.services.talent_code.model.claim import Budget, Claim
from tests.benefits.world import NOON, committed
from tests.draws import draws
from tests.services.talent_code.world import BUDGETS_FEN, DOCTOR, LEADER, TalentWorld

pytestmark = pytest.mark.slow

NAME = f"plain:{NOON.year}"
AMOUNTS = {DOCTOR: 50_00, LEADER: 70_01}


class Wave(Struct, frozen=True):
    """What happens at once: claims, withdrawals, and the waiting list, in processes that may know other amounts."""

    budgets: tuple[int, int]
    leaders: tuple[bool, ...]
    leave: int
    serve: bool


WAVES = st.lists(
    st.builds(
        Wave,
        st.tuples(*[st.integers(0, len(BUDGETS_FEN) - 1)] * 2),
        st.lists(st.booleans(), min_size=1, max_size=8).map(tuple),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=3,
)
LINES = st.lists(st.booleans(), min_size=2, max_size=6).map(
    lambda leaders: Wave((0, 0), tuple(leaders), 0, serve=False)
)
"""Who has claimed before there was any money."""


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TalentWorld]:
    folder = tmp_path_factory.mktemp("hot-budget")
    url = f"sqlite:///{folder}/city.db" if request.param == "sqlite" else request.getfixturevalue("prepared_url")
    world = TalentWorld(folder, url, "pymongo")
    yield world
    world.run(partial(forget, world))
    world.close()


async def forget(world: TalentWorld) -> None:
    for kind in (Claim, Budget):
        for document in [document async for document in world.real.store.scan(kind)]:
            await world.real.store.delete(document)


async def waiting_claims(world: TalentWorld) -> list[Claim]:
    """Return the claims in line, in their order."""
    found = [claim async for claim in world.real.store.scan(Claim) if claim.waitlist]
    return sorted(found, key=lambda claim: (claim.claimed_ms, claim.id))


async def happen(world: TalentWorld, wave: Wave, people: list[str]) -> None:
    cities = [world.city(number, budget) for number, budget in enumerate(wave.budgets)]
    line = await waiting_claims(world)
    claims = [claim_benefit(cities[place % 2], one, "plain", "tap", {}) for place, one in enumerate(people)]
    leaving = [saga.claims.decide(cities[0], claim, leave_waitlist) for claim in line[: wave.leave]]
    serving = [serve_waitlist(saga.claims, cities[1], "plain")] if wave.serve else []
    answers = await asyncio.gather(*claims, *leaving, *serving, return_exceptions=True)
    failed = [one for one in answers if isinstance(one, BaseException) and not isinstance(one, NotOnWaitlist)]
    assert not failed, "only who was paid meanwhile cannot leave the line"


async def budget_of(world: TalentWorld, budget: int) -> Budget:
    return await get_or_create_budget(saga.benefits, world.city(0, budget), NAME)


@given(line=LINES, waves=WAVES, last=st.integers(0, len(BUDGETS_FEN) - 1))
@settings(max_examples=draws(8, soak=300))
def test_a_busy_budget_is_exact_to_the_fen_and_the_line_is_served_in_order(
    world: TalentWorld, line: Wave, waves: list[Wave], last: int
) -> None:
    world.run(partial(forget, world))
    for wave in (line, *waves):
        people = [world.person(LEADER if leader else DOCTOR).id for leader in wave.leaders]
        world.clock.now += timedelta(seconds=1)
        world.run(partial(happen, world, wave, people))

    async def settle() -> None:
        waiting, before = await waiting_claims(world), await budget_of(world, last)
        free, expected = before.free_fen, list[str]()
        for claim in waiting:
            if claim.amount_fen <= free:
                free -= claim.amount_fen
                expected.append(claim.id)
        await serve_waitlist(saga.claims, world.city(0, last), "plain")
        claims = {claim.id: claim async for claim in world.real.store.scan(Claim)}
        assert [claim.id for claim in waiting if claims[claim.id].state == "granted"] == expected, "in order, none idle"
        after = await budget_of(world, last)
        assert after.paid_fen == sum(claim.paid_fen for claim in claims.values())
        assert after.reserved_fen == sum(claim.sum_fen("open") for claim in claims.values() if claim.reserved)
        assert after.quota_used == sum(claim.state == "granted" for claim in claims.values())
        assert committed(after) <= max(
            after.limit_fen, *(BUDGETS_FEN[one] for wave in (line, *waves) for one in wave.budgets)
        )

    world.run(settle)
