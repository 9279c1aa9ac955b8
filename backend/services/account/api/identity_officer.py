"""Let two officers decide whose a number is, and correct names and numbers."""

import secrets
from datetime import datetime

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from backend.city.audit_log import new_act, record_act
from backend.city.id_number import InvalidIdNumber, parse_id_number
from backend.city.name import InvalidName, parse_name
from backend.city.person import document_of, find_or_create_person, find_person, known_person, masked_name
from backend.city.service import City
from backend.problems import FieldError, InvalidRequest, NotFound
from backend.security.identity import CitizenRequest, role_guard
from backend.services.account.api.identity_schemas import (
    CaseDecision,
    CaseParty,
    CaseVote,
    CorrectionRequest,
    IdentityCaseDetails,
    IdentityCaseList,
    IdentityCaseSummary,
)
from backend.services.account.identity_cases import decide_case, holder_of, open_case
from backend.services.account.model.account import Account, masked_phone
from backend.services.account.model.identity import masked_id_number
from backend.services.account.model.identity_case import (
    IDENTITY_OFFICER,
    CaseClosed,
    CaseKind,
    CaseState,
    IdentityCase,
    OwnIdentityCase,
)
from backend.store import Order
from backend.store.place import Place
from backend.store.time import from_ms, to_ms

PAGE = 50
identity_officer = role_guard(IDENTITY_OFFICER)


@get("/v1/identity-cases", guards=[identity_officer])
async def list_identity_cases(
    city: NamedDependency[City], status: FromQuery[CaseState] = "open", cursor: FromQuery[str | None] = None
) -> IdentityCaseList:
    """List the identity cases in a state, the oldest first."""
    page = await city.store.find(IdentityCase, {"state": status}, order=Order("opened_ms"), cursor=cursor, limit=PAGE)
    return IdentityCaseList(
        [IdentityCaseSummary(one.id, one.kind, one.state, _opened_at(one), len(one.votes)) for one in page.documents],
        page.cursor,
    )


@get("/v1/identity-cases/{case_id:str}", guards=[identity_officer])
async def show_identity_case(
    case_id: FromPath[str], request: CitizenRequest, city: NamedDependency[City]
) -> IdentityCaseDetails:
    """Show a case; that it was read is in the audit log."""
    case = await _case(city, case_id)
    read = new_act(city, request.user, IDENTITY_OFFICER, "account.identity_case_read", case.id, person=case.person)
    await record_act(city, read)
    return await _details(city, case)


@post(
    "/v1/identity-cases", guards=[identity_officer], problems=(InvalidIdNumber, InvalidName, OwnIdentityCase, NotFound)
)
async def propose_correction(
    data: JSONBody[CorrectionRequest], request: CitizenRequest, city: NamedDependency[City]
) -> IdentityCaseDetails:
    """Propose the right name, or the right number, of a person with an account; a second officer decides."""
    if (data.name is None) == (data.new_id_number is None):
        en, zh = "Provide either the name or the new ID number.", "请填写姓名或新的证件号码，两者选一。"
        raise InvalidRequest(zh=zh, en=en, errors=(FieldError("", en, zh),))
    document = parse_id_number(data.id_number, city.today(), kind=data.document_kind)
    person = await find_person(city.store, city.encryption, document)
    account = None if person is None else await holder_of(city, person.id)
    if person is None or account is None:
        raise NotFound(zh="没有找到使用该证件的账户。", en="No account has this document.")
    name = None if person.name is None else city.encryption.read(person, "name")
    kind, about, holder = CaseKind.NAME, person.id, None
    if data.name is not None:
        name = parse_name(data.name)
    elif data.new_id_number is not None:
        right = parse_id_number(data.new_id_number, city.today(), "/new_id_number", data.new_document_kind)
        about = (await find_or_create_person(city.store, city.encryption, right, city.now())).id
        other = await holder_of(city, about)
        kind, holder = CaseKind.NUMBER, None if other is None else other.id
    case_id = secrets.token_urlsafe(12)
    case = IdentityCase(
        id=case_id,
        kind=kind,
        account=account.id,
        person=about,
        holder=holder,
        name=None if name is None else city.encryption.encrypt(name, Place.of(IdentityCase, case_id, "name")),
        opened_ms=to_ms(city.now()),
    )
    return await _details(city, await open_case(city, case, request.user, data.reason))


@post("/v1/identity-cases/{case_id:str}/decisions", guards=[identity_officer], problems=(CaseClosed, OwnIdentityCase))
async def decide_identity_case(
    case_id: FromPath[str], data: JSONBody[CaseDecision], request: CitizenRequest, city: NamedDependency[City]
) -> IdentityCaseDetails:
    """Approve or refuse a case. Two different people approve, neither of whom it is about; one is enough to refuse."""
    case = await _case(city, case_id)
    decided = await decide_case(city, request.user, case, approves=data.approves, reason=data.reason)
    return await _details(city, decided)


async def _case(city: City, case_id: str) -> IdentityCase:
    case = await city.store.get(IdentityCase, case_id)
    if case is None:
        raise NotFound(zh="没有找到该事项。", en="There is no such case.")
    return case


async def _details(city: City, case: IdentityCase) -> IdentityCaseDetails:
    person = await known_person(city.store, case.person)
    number = document_of(city.encryption, person).number
    votes = Place.of(IdentityCase, case.id, "votes")
    return IdentityCaseDetails(
        id=case.id,
        kind=case.kind,
        state=case.state,
        opened_at=_opened_at(case),
        id_number=masked_id_number(number),
        present_name=None if person.name is None else masked_name(city.encryption.read(person, "name")),
        name=None if case.name is None else city.encryption.read(case, "name"),
        claimant=await _party(city, case.account),
        holder=None if case.holder is None else await _party(city, case.holder),
        votes=[CaseVote(one.approves, city.encryption.decrypt(one.reason, votes), one.at) for one in case.votes],
    )


async def _party(city: City, account_id: str) -> CaseParty | None:
    account = await city.store.get(Account, account_id)
    if account is None:
        return None
    phone = None if account.phone is None else masked_phone(city.encryption.read(account, "phone"))
    return CaseParty(account.id, phone, account.level, account.created)


def _opened_at(case: IdentityCase) -> datetime:
    return from_ms(case.opened_ms)
