"""Part of the demonstration: a talent, and a citizen whose degree would give a class."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime

import msgspec

from backend.city.person import birth_date, known_person
from backend.city.service import City, Demo, DemoOutput, DemoPerson, DemoStaff
from backend.codes.terminal import sign_text
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.code import SIGN
from backend.services.talent_code.facts import Degree, TalentFacts
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.rule_modules import CLASS_MODULE
from backend.services.talent_code.synthetic import synthetic_degrees


async def _show(city: City, people: Callable[[], AsyncIterator[DemoPerson]]) -> DemoOutput:
    now = city.now()
    lines: dict[str, str] = {}
    async for person in people():
        talent = await city.store.get(Talent, person.citizen_id)
        grant = talent.grant(now) if talent is not None else None
        if grant is not None:
            sign, because = f"{sign_text(SIGN)} {grant.talent_class.upper()}", grant.because
            lines.setdefault("talent", f"{person.phone}  {sign}  {because.zh} · {because.en}")
        elif "newcomer" not in lines and (degree := await _degree_for_a_class(city, person, now)):
            declaration = msgspec.json.encode(degree).decode()
            lines["newcomer"] = f"{person.phone}  no class yet; may declare {declaration}"
        if len(lines) == 2:  # noqa: PLR2004  one of each
            break
    return DemoOutput([lines[kind] for kind in ("talent", "newcomer") if kind in lines])


async def _degree_for_a_class(city: City, person: DemoPerson, now: datetime) -> Degree | None:
    """Return a degree that the sandbox of its registry confirms and that is enough for a class."""
    profile = await known_person(city.store, person.citizen_id)
    born_at = midnight(birth_date(profile), city.rulebook.time_zone)
    for degree in synthetic_degrees(city.encryption.read(profile, "id_number"), now):
        facts = TalentFacts(born_at=born_at, degrees=(degree,))
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
