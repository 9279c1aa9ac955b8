"""Hundreds of talents who claim at the same time."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from backend.city.bank_cards import keep_card
from backend.city.id_number import IdentityDocument
from backend.city.person import Person, new_person
from backend.city.service import City
from backend.services.talent_code.claims import claim_benefit
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import reassess
from backend.services.talent_code.model.talent import Figures, Talent
from backend.services.talent_code.review import update_talent
from backend.store.place import Place
from tests.benefits.world import card_number
from tests.services.talent_code.world import DOCTOR

MADE_AT_ONCE = 256
"""Fewer than may wait in a store."""


class Answer(Struct):
    """The claim that a person was shown, and after how many seconds."""

    claim: Claim
    seconds: float


async def make_talents(city: City, number: int) -> list[str]:
    """Store talents of class E with known figures and a bank account; return their ids."""
    now = city.now()

    async def make(serial: int) -> str:
        account = card_number(serial)
        evidence = Evidence("e1", DOCTOR, now, now, "confirmed", confirmed_at=now, answered_at=now)
        talent = Talent(
            id=f"talent-{serial}",
            code_id=f"code-{serial}",
            born_at=datetime(1990, 1, 1, tzinfo=UTC),
            evidence=(evidence,),
            figures=Figures(now + timedelta(days=1), 12, city.today().year - 1, 0, 0),
            account=city.encryption.encrypt(account, Place.of(Talent, f"talent-{serial}", "account")),
            account_ending=account[-4:],
            card=await keep_card(city, account, f"talent-{serial}", "talent_code", "name"),
        )
        person = new_person(city.encryption, IdentityDocument(f"E{serial:08}", "passport"), talent.id, now)
        name = city.encryption.encrypt(f"person {serial}", Place.of(Person, talent.id, "name"))
        await city.store.insert(replace(person, name=name))
        await city.store.insert(talent)
        await update_talent(city, talent.id, reassess)
        return talent.id

    made = list[str]()
    for begin in range(0, number, MADE_AT_ONCE):
        made.extend(await asyncio.gather(*map(make, range(begin, min(begin + MADE_AT_ONCE, number)))))
    return made


async def claim_at_once(
    cities: Sequence[City], people: Sequence[str], benefits: Sequence[str], at_once: int
) -> tuple[list[Answer], float]:
    """Let each person claim one of the benefits, `at_once` at a time, by the processes in turn.

    Return the answers and the seconds.
    """
    slots = asyncio.Semaphore(at_once)

    async def claim(place: int) -> Answer:
        async with slots:
            begun = time.perf_counter()
            claimed = await claim_benefit(
                cities[place % len(cities)], people[place], benefits[place % len(benefits)], "tap", {}
            )
            return Answer(claimed, time.perf_counter() - begun)

    begun = time.perf_counter()
    answers = await asyncio.gather(*map(claim, range(len(people))))
    return list(answers), time.perf_counter() - begun
