"""The demonstration: an invented city, and how to look at it as some of its citizens and its staff."""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import qrcode
from click import echo
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec import Struct
from msgspec.structs import replace
from qrcode.constants import ERROR_CORRECT_M
from rich.console import Console
from rich.progress import Progress

from backend.app import documents_of, open_city
from backend.city.person import Profile
from backend.city.service import City, discover_integrations, discover_services
from backend.cli.synthetic_data import fill_city
from backend.codes.image import Sign
from backend.i18n import Text
from backend.rulebook.language.temporal import midnight
from backend.security.identity import Role
from backend.services.account.api import grant
from backend.services.account.invention import invented_phone
from backend.services.account.sessions import find_account
from backend.services.health_code.code import COLOURS, SIGNS, Colour, make_claims
from backend.services.health_code.model import COLOUR, HealthRecord
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.talent_code.code import SIGN
from backend.services.talent_code.facts import Degree, TalentFacts
from backend.services.talent_code.model.grants import CLASS_MODULE
from backend.services.talent_code.model.talent import Grant, Talent
from backend.services.talent_code.synthetic import synthetic_degrees
from backend.settings import Settings
from backend.store.connect import place, prepare_store
from backend.store.migrations import find_migrations, migrate

VENUE = "west-lake"
HOSPITAL = "HZ001"
STAFF = {
    "gate": ("+8613800000001", Role.GATE, (VENUE,)),
    "health officer": ("+8613800000002", Role.HEALTH_OFFICER, ()),
    "operator": ("+8613800000003", Role.OPERATOR, ()),
    "partner": ("+8613800000004", Role.PARTNER, ("park-west-lake", "hospital-hz001")),
    "talent officer": ("+8613800000005", Role.TALENT_OFFICER, ()),
}
MAX_SEARCHED = 5_000
MARKS = {"circle": "●", "triangle": "▲", "octagon": "⯃", "diamond": "◆"}


class Found(Struct):
    """People to sign in as: one of each colour, one with a talent class, and one whose degree would give one."""

    colours: dict[Colour, tuple[str, HealthRecord]] = {}
    talent: tuple[str, Grant] | None = None
    newcomer: tuple[str, Degree] | None = None


def prepare(settings: Settings, citizens: int, seed: int) -> None:
    """Fill the city if it is not full yet, and tell how to sign in. Raises what `open_city` raises."""
    asyncio.run(_prepare(settings, citizens, seed, tells=True))


def fill(settings: Settings, citizens: int, seed: int) -> None:
    """Fill the city with invented people. Raises what `open_city` raises."""
    asyncio.run(_prepare(settings, citizens, seed, tells=False))


async def _prepare(settings: Settings, citizens: int, seed: int, *, tells: bool) -> None:
    services = discover_services()
    prepare_store(settings.store, documents_of(services))
    city = open_city(settings, services, discover_integrations(settings.integrations))
    try:
        await migrate(city.store, find_migrations(), lambda _migration, _seen: None)
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("Inventing a city", total=None, visible=False)
            new = await fill_city(
                city,
                services,
                citizens,
                seed,
                lambda done, total: bar.update(task, completed=done, total=total, visible=True),
            )
        known = await city.store.count(Profile, {})
        echo(f"{known:,} citizens, {new:,} of them new, are kept in {place(settings.store)}.")
        if tells:
            await _tell(city)
    finally:
        await city.store.close()


async def _tell(city: City) -> None:
    now = city.now()
    found = await _find(city, now)
    echo("\nPeople to sign in as:\n")
    for colour in COLOURS:
        if colour in found.colours:
            phone, record = found.colours[colour]
            verdict = city.rulebook.evaluate(COLOUR, record.facts, now)
            _tell_person(phone, _sign(SIGNS[colour]), verdict.because)
    if found.talent is not None:
        phone, held = found.talent
        _tell_person(phone, f"{_sign(SIGN)} {held.talent_class.upper()}", held.because)
    if found.newcomer is not None:
        phone, degree = found.newcomer
        echo(f"  {_national(phone)}  no class yet; may declare {msgspec.json.encode(degree).decode()}")
    for title, (phone, role, venues) in STAFF.items():
        await grant(city, phone, (role,), venues)
        echo(f"  {_national(phone)}  {title}{' at ' + ', '.join(venues) if venues else ''}")
    key = await _connect_hospital(city)
    echo(f"\nA hospital is connected as {HOSPITAL}; it signs in to /fhir with the key in {key}.")
    address = f"http://{city.settings.host}:{city.settings.port}"
    if "green" in found.colours:
        phone, record = found.colours["green"]
        echo(_HOW_TO.format(address=address, phone=_national(phone)))
        claims, _, _ = make_claims(record.code_id, "green", now, city.settings.code_seconds)
        shown = f"{_national(phone)}, {_sign(SIGNS['green'])}"
        echo(f"The code of {shown}; it counts for {city.settings.code_seconds} seconds:\n")
        _draw(city.keys.sign_code(claims))
    echo(f"The reference of the API: {address}/reference\nServing at {address}; Ctrl-C stops.\n")


_HOW_TO = """
Sign in as the green one, in another terminal:

  A={address}/v1  J='Content-Type: application/json'
  curl -s $A/sign-in-codes -H "$J" -d '{{"phone": "{phone}"}}'
  curl -s $A/development/outbox -H "$J" -d '{{"phone": "{phone}"}}'
  curl -s $A/sessions -H "$J" -d '{{"phone": "{phone}", "code": "THE CODE"}}'
  curl -s $A/me/health-code -H 'Authorization: Bearer THE ACCESS TOKEN'
"""


async def _connect_hospital(city: City) -> Path:
    """Connect an invented hospital, and give the file of the private key with which it signs in."""
    path = Path(city.settings.keys).parent / f"hospital-{HOSPITAL}.jwk.json"
    if not path.exists():
        private = ec.generate_private_key(ec.SECP384R1())
        named = {"kid": "demo", "use": "sig", "alg": "ES384"}
        path.touch(0o600)
        path.write_text(json.dumps(ECAlgorithm.to_jwk(private, as_dict=True) | named), encoding="utf-8")
    public = {name: value for name, value in json.loads(path.read_bytes()).items() if name != "d"}
    known = await city.store.get(Hospital, HOSPITAL)
    made = Hospital(id=HOSPITAL, name="示范医院 Demonstration Hospital", since_ms=0, jwks={"keys": [public]})
    if known is None:
        await city.store.insert(made)
    elif known.jwks != made.jwks:
        await city.store.replace(replace(known, jwks=made.jwks))
    return path


async def _find(city: City, now: datetime) -> Found:
    """Find invented citizens to sign in as, by the rules as of now."""
    found = Found()
    for number in range(MAX_SEARCHED):
        phone = invented_phone(number)
        account = await find_account(city, phone)
        person = account.citizen_id if account is not None else None
        record = await city.store.get(HealthRecord, person) if person is not None else None
        if person is None or record is None:
            break
        found.colours.setdefault(city.rulebook.evaluate(COLOUR, record.facts, now).result, (phone, record))
        talent = await city.store.get(Talent, person)
        held = talent.grant(now) if talent is not None else None
        if held is not None:
            found.talent = found.talent or (phone, held)
        elif found.newcomer is None and (degree := await _degree_for_a_class(city, person, now)) is not None:
            found.newcomer = (phone, degree)
        if len(found.colours) == len(COLOURS) and found.talent is not None and found.newcomer is not None:
            break
    return found


async def _degree_for_a_class(city: City, person: str, now: datetime) -> Degree | None:
    """Give a degree that somebody has by the sandbox of its registry, and that alone gives a class."""
    profile = await city.store.get(Profile, person)
    assert profile is not None, "an invented city is whole"
    for degree in synthetic_degrees(city.encryption.decrypt(profile.id_number), now):
        facts = TalentFacts(born_at=midnight(profile.born_on, city.rulebook.time_zone), degrees=(degree,))
        if city.rulebook.evaluate(CLASS_MODULE, facts, now).result != "none":
            return degree
    return None


def _tell_person(phone: str, what: str, because: Text) -> None:
    echo(f"  {_national(phone)}  {what}  {because.zh} · {because.en}")


def _national(phone: str) -> str:
    return phone.removeprefix("+86")


def _sign(sign: Sign[Any]) -> str:
    return f"{MARKS[sign.shape]} {sign.word.zh} {sign.word.en}"


def _draw(payload: str) -> None:
    """Draw a QR code with half blocks, black on white whatever the terminal's colours are."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=2)
    code.add_data(payload)
    rows = code.get_matrix()
    white, plain = ("\x1b[97;40m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    for upper, lower in zip(rows[::2], [*rows[1::2], [False] * len(rows)], strict=False):
        blocks = (" ▄▀█"[2 * (not above) + (not below)] for above, below in zip(upper, lower, strict=True))
        echo(f"{white}{''.join(blocks)}{plain}")
    echo()
