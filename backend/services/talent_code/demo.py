"""Part of the demonstration: a talent, and a citizen whose degree would give a class."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime

import msgspec

from backend.city.person import Person, birth_date
from backend.city.service import City, Demo, DemoOutput, DemoPerson, DemoStaff
from backend.codes.terminal import sign_text
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.code import SIGN
from backend.services.talent_code.facts import Degree, TalentFacts
from backend.services.talent_code.model.grants import CLASS_MODULE
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.synthetic import synthetic_degrees


async def _show(city: City, people: Callable[[], AsyncIterator[DemoPerson]]) -> DemoOutput:
    now = city.now()
    talent_line, newcomer_line = "", ""
    async for person in people():
        talent = await city.store.get(Talent, person.citizen_id)
        grant = talent.grant(now) if talent is not None else None
        if grant is not None and not talent_line:
            because = grant.because
            letter = grant.talent_class.upper()
            talent_line = f"{person.phone}  {sign_text(SIGN)} {letter}  {because.zh} · {because.en}"
        elif grant is None and not newcomer_line and (degree := await _degree_for_a_class(city, person, now)):
            newcomer_line = f"{person.phone}  no class yet; may declare {msgspec.json.encode(degree).decode()}"
        if talent_line and newcomer_line:
            break
    return DemoOutput([line for line in (talent_line, newcomer_line) if line])


async def _degree_for_a_class(city: City, person: DemoPerson, now: datetime) -> Degree | None:
    """Return a degree that the sandbox of its registry confirms and that is enough for a class."""
    profile = await city.store.get(Person, person.citizen_id)
    if profile is None:
        return None
    for degree in synthetic_degrees(city.encryption.decrypt(profile.id_number), now):
        facts = TalentFacts(born_at=midnight(birth_date(profile), city.rulebook.time_zone), degrees=(degree,))
        if city.rulebook.evaluate(CLASS_MODULE, facts, now).result != "none":
            return degree
    return None


demo = Demo(
    staff=[
        DemoStaff("+8613800000004", "partner", "partner", ("park-west-lake", "hospital-hz001")),
        DemoStaff("+8613800000005", "talent officer", "talent_officer"),
    ],
    show=_show,
)
