"""The health code's part of the demonstration: one citizen of each colour, and a code to scan."""

from collections.abc import AsyncIterator, Callable, Mapping

from backend.city.service import City, Demo, DemoOutput, DemoPerson, DemoStaff
from backend.codes.signed_code import issue_code
from backend.codes.terminal import qr_lines, sign_text
from backend.services.health_code.code import STYLES, make_claims
from backend.services.health_code.model import HealthRecord
from backend.services.health_code.rule_modules import COLOUR, COLOURS, Colour
from backend.services.health_code.sources import ReportingSource, SourceKind, source_id
from backend.store.update import insert_or_get

_SIGN_IN = """
Sign in as the citizen with the green code, in another terminal:

  A={address}/v1  J='Content-Type: application/json'
  curl -s $A/sign-in-codes -H "$J" -d '{{"phone": "{phone}"}}'
  curl -s $A/development/outbox -H "$J" -d '{{"phone": "{phone}"}}'
  curl -s $A/sessions -H "$J" -d '{{"phone": "{phone}", "challenge": "THE CHALLENGE", "code": "THE CODE"}}'
  curl -s $A/me/health-code -H 'Authorization: Bearer THE ACCESS TOKEN'
"""


async def _show(city: City, people: Callable[[], AsyncIterator[DemoPerson]]) -> DemoOutput:
    now = city.now()
    examples: dict[Colour, tuple[str, HealthRecord]] = {}
    async for person in people():
        record = await city.store.get(HealthRecord, person.citizen_id)
        if record is None:
            break
        examples.setdefault(city.rulebook.evaluate(COLOUR, record.facts, now).result, (person.phone, record))
        if len(examples) == len(COLOURS):
            break
    lines = [
        f"{phone}  {sign_text(STYLES[colour])}  {because.zh} · {because.en}"
        for colour in COLOURS
        if colour in examples
        for phone, record in [examples[colour]]
        for because in [city.rulebook.evaluate(COLOUR, record.facts, now).because]
    ]
    return DemoOutput(lines, _notes(city, *examples["green"]) if "green" in examples else [])


def _notes(city: City, phone: str, record: HealthRecord) -> list[str]:
    seconds = city.settings.code_seconds
    payload = issue_code(city.keys, make_claims(record.code_id, "green", city.now(), seconds))
    return [
        _SIGN_IN.format(address=f"http://{city.settings.host}:{city.settings.port}", phone=phone),
        f"The code of {phone}, {sign_text(STYLES['green'])}; it is valid for {seconds} seconds:\n",
        *qr_lines(payload),
        "",
    ]


async def _assign(city: City, accounts: Mapping[str, str]) -> None:
    """Let the health officer, if there is one, report for an office, a laboratory and a register."""
    if OFFICER not in accounts:
        return
    for name, kind in SOURCES.items():
        source = ReportingSource(id=source_id(city, name), name=name, kind=kind, accounts=(accounts[OFFICER],))
        await insert_or_get(city.store, source)


OFFICER = "+8613800000002"
SOURCES: Mapping[str, SourceKind] = {"cdc": "office", "lab": "laboratory", "register": "register"}

demo = Demo(
    staff=[
        DemoStaff("+8613800000001", "gate", "gate", ("west-lake",)),
        DemoStaff(OFFICER, "health officer", "health_officer"),
        DemoStaff("+8613800000008", "health approver", "health_approver"),
    ],
    assign=_assign,
    show=_show,
)
