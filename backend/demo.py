"""The demonstration: an invented city, and how to look at it as three of its citizens and its staff."""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path

import qrcode
from click import echo
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec.structs import replace
from qrcode.constants import ERROR_CORRECT_M
from rich.console import Console
from rich.progress import Progress

from backend.app import documents_of, open_city
from backend.identity import Role
from backend.migration import find_migrations, migrate
from backend.profile import Profile
from backend.seed import fill_city
from backend.service import City, discover_integrations, discover_services
from backend.services.account.api import grant
from backend.services.account.invention import invented_phone
from backend.services.account.sessions import find_account
from backend.services.health_code.code import COLOURS, SIGNS, Colour, make_claims
from backend.services.health_code.model import COLOUR, HealthRecord
from backend.services.medical_credit.model.hospital import Hospital
from backend.settings import Settings
from backend.store.opening import place, prepare_store

VENUE = "west-lake"
HOSPITAL = "HZ001"
STAFF = {
    "gate": ("+8613800000001", Role.GATE, (VENUE,)),
    "health officer": ("+8613800000002", Role.HEALTH_OFFICER, ()),
    "operator": ("+8613800000003", Role.OPERATOR, ()),
}
SEARCHED_AT_MOST = 5_000
MARKS = {"circle": "●", "triangle": "▲", "octagon": "⯃"}


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
    found = await _one_of_each(city, now)
    echo("\nPeople to sign in as:\n")
    for colour, (phone, record) in found.items():
        verdict = city.rulebook.evaluate(COLOUR, record.facts, now)
        echo(f"  {_national(phone)}  {_sign(colour)}  {verdict.because.zh} · {verdict.because.en}")
    for title, (phone, role, venues) in STAFF.items():
        await grant(city, phone, (role,), venues)
        echo(f"  {_national(phone)}  {title}{' at ' + ', '.join(venues) if venues else ''}")
    key = await _connect_hospital(city)
    echo(f"\nA hospital is connected as {HOSPITAL}; it signs in to /fhir with the key in {key}.")
    address = f"http://{city.settings.host}:{city.settings.port}"
    if "green" in found:
        phone, record = found["green"]
        echo(_HOW_TO.format(address=address, phone=_national(phone)))
        claims, _, _ = make_claims(record.code_id, "green", now, city.settings.code_seconds)
        echo(f"The code of {_national(phone)}, {_sign('green')}; it counts for {city.settings.code_seconds} seconds:\n")
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


async def _one_of_each(city: City, now: datetime) -> dict[Colour, tuple[str, HealthRecord]]:
    """Find the first invented citizen of each colour, by the rules as of now."""
    found: dict[str, tuple[str, HealthRecord]] = {}
    for number in range(SEARCHED_AT_MOST):
        phone = invented_phone(number)
        account = await find_account(city, phone)
        record = await city.store.get(HealthRecord, account.citizen_id) if account and account.citizen_id else None
        if record is None:
            break
        found.setdefault(city.rulebook.evaluate(COLOUR, record.facts, now).result, (phone, record))
        if len(found) == len(COLOURS):
            break
    return {colour: found[colour] for colour in COLOURS if colour in found}


def _national(phone: str) -> str:
    return phone.removeprefix("+86")


def _sign(colour: Colour) -> str:
    sign = SIGNS[colour]
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
