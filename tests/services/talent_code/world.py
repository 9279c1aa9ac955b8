"""A city of talents for state machines, with small benefits and truthful registries."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from backend.city.id_number import parse_id_number
from backend.city.person import find_or_create_person
from backend.city.service import discover_services
from backend.services.talent_code.facts import Degree, Title
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import reassess
from backend.services.talent_code.model.talent import Figures, Talent
from backend.services.talent_code.ports import Education, Employment, PropertyRegister, SocialInsurance, Tax
from backend.services.talent_code.review import update_talent
from backend.store.place import Place
from tests.benefits.world import NOON, World, card_number
from tests.services.health_code.scene import id_number
from tests.services.talent_code.sample_rules import write_rules

DOCTOR = Degree("doctor", datetime(2020, 6, 30, tzinfo=UTC))
LEADER = Title("municipal_leader", datetime(2021, 9, 1, tzinfo=UTC))

BUDGETS_FEN = (0, 100_00, 150_01, 400_00, 2_000_00)


class Person:
    """A talent of an example, who is known to the registries by their ID number."""

    def __init__(self, number: str, profile_id: str, account: str) -> None:
        self.number, self.id, self.account = number, profile_id, account


class TalentWorld(World):
    """One city for all examples; each example has its own talents and budgets."""

    def __init__(self, folder: Path, address: str, driver: str = "motor") -> None:
        rules = [write_rules(folder / f"rules-{fen}", fen) for fen in BUDGETS_FEN]
        super().__init__(folder, address, discover_services(), rules, driver)
        self.education: Any = self.real.port(Education)
        self.employment: Any = self.real.port(Employment)
        self.insurance: Any = self.real.port(SocialInsurance)
        self.tax: Any = self.real.port(Tax)
        self.property: Any = self.real.port(PropertyRegister)
        for port in (self.education, self.employment, self.insurance, self.tax, self.property):
            port.database.clock = self.clock

    def person(self, *qualification: Degree | Title) -> Person:
        """Create a talent with an account, who was granted the class for this evidence at NOON."""
        serial = next(self.serial)
        number = id_number(serial % 1_000, 1990 + serial // 1_000)
        account = card_number(serial)
        self.education.set_degrees(number, *(one for one in qualification if isinstance(one, Degree)))
        self.employment.set_merits(number, *(one for one in qualification if isinstance(one, Title)))
        self.property.set_homes(number, 0)
        self.insurance.set_months(number, 0)

        async def make() -> str:
            city = self.real
            known = parse_id_number(number, city.today())
            profile = await find_or_create_person(city.store, city.encryption, known, NOON)
            evidence = tuple(
                Evidence(f"e{place}", one, NOON, NOON, "confirmed", confirmed_at=NOON, answered_at=NOON)
                for place, one in enumerate(qualification, 1)
            )
            name = city.encryption.encrypt(f"person {serial}", Place.of(type(profile), profile.id, "name"))
            await city.store.replace(replace(profile, name=name))
            await city.store.insert(
                Talent(
                    id=profile.id,
                    code_id=f"code-{serial}",
                    born_at=datetime(1990, 1, 1, tzinfo=UTC),
                    evidence=evidence,
                    figures=Figures(NOON + timedelta(days=10_000), 0, NOON.year - 1, 0, 0),
                    account=city.encryption.encrypt(account, Place.of(Talent, profile.id, "account")),
                    account_ending=account[-4:],
                )
            )
            await update_talent(city, profile.id, reassess)
            return profile.id

        return Person(number, self.run(make), account)
