"""What pay later holds on a person, and what must be settled before they close their account."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import get_args

from backend.city.personal_data import by_retention, naming_person, of_person, once_settled
from backend.city.service import City, OpenMatter, PersonalData, PersonalRecords, Subject
from backend.i18n import Text, yuan
from backend.paylater.account import close_account
from backend.paylater.problems import NotEnrolled, OutstandingBalance
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyPayer
from backend.services.medical_credit.model.hospital import (
    EligibilityAnswer,
    HisMessage,
    Hospital,
    MessageState,
    patient_pseudonym,
)
from backend.services.medical_credit.model.visit import Visit
from backend.store import Order
from backend.store.paging import find_all

_visits = naming_person(Visit, "person")
_BY_HOSPITAL = Text(zh="请向就诊的医院申请更正。", en="Ask the hospital that you visited to correct it.")
_PAYMENTS = Text(
    zh="交易记录须依反洗钱法等规定保存。",
    en="The law on money laundering, among others, requires records of transactions to be kept.",
)


async def in_progress(city: City, person: str) -> list[Visit]:
    """Return the visits of a person that are not settled."""
    found = [visit async for visit in _visits(city, Subject("", person))]
    return [visit for visit in found if visit.stage() not in ("paid", "cancelled")]


async def _open_matters(city: City, subject: Subject) -> list[OpenMatter]:
    matters: list[OpenMatter] = []
    for visit in [] if subject.person is None else await in_progress(city, subject.person):
        owed_fen = visit.owed_fen()
        if owed_fen > 0:
            amount = yuan(owed_fen)
            text = Text(zh=f"有一笔就医账单{amount}元未付，请先支付。", en=f"Pay your bill of {amount} yuan first.")
        else:
            text = Text(
                zh="有一次就诊尚未结算或退款，请等待办结。",
                en="Wait until your visit is settled and refunded.",
            )
        matters.append(OpenMatter(text, owed_fen or None))
    return matters


async def _end(city: City, subject: Subject) -> list[OpenMatter]:
    """End the enrolment, so that no hospital can open a visit on credit."""
    if subject.person is None:
        return []
    person = subject.person

    async def is_in_progress() -> bool:
        return bool(await in_progress(city, person))

    try:
        await close_account(city, Enrolment, person, is_in_progress)
    except NotEnrolled:
        return []
    except OutstandingBalance as outstanding:
        return [OpenMatter(outstanding.detail, outstanding.members["owed_fen"] or None)]
    return []


async def _messages(city: City, subject: Subject) -> AsyncIterator[HisMessage]:
    async for visit in _visits(city, subject):
        for state in get_args(MessageState):
            received = {"visit": visit.id, "state": state}
            async for message in find_all(city.store, HisMessage, received, Order("received_ms")):
                yield message


async def _eligibility_answers(city: City, subject: Subject) -> AsyncIterator[EligibilityAnswer]:
    if subject.person is None:
        return
    async for hospital in city.store.scan(Hospital):
        patient = patient_pseudonym(city.encryption, hospital.id, subject.person)
        async for answer in find_all(city.store, EligibilityAnswer, {"patient": patient}, None):
            yield answer


async def _consents(city: City, subject: Subject) -> AsyncIterator[FamilyPayer]:
    if subject.person is None:
        return
    for role in ("patient", "payer"):
        for live in (True, False):
            async for consent in find_all(city.store, FamilyPayer, {role: subject.person, "live": live}, None):
                yield consent


async def _with_last_visit(city: City, enrolment: Enrolment, now: datetime) -> datetime | None:
    """Keep an enrolment as long as a visit: it is the account of what was owed and paid."""
    ends = [await once_settled(city, visit, now) async for visit in _visits(city, Subject("", enrolment.id))]
    return max((end for end in ends if end is not None), default=None)


personal_data = PersonalData(
    records=[
        PersonalRecords(
            kind=FamilyPayer,
            title=Text(zh="代付家属授权", en="Consents of family payers"),
            find=_consents,
            correct=Text(zh="可自行解除后重新设置。", en="End it, and request it again."),
        ),
        PersonalRecords(
            kind=EligibilityAnswer,
            title=Text(zh="医院资格查询记录", en="Eligibility requests of hospitals"),
            find=_eligibility_answers,
            hidden=("patient",),
        ),
        PersonalRecords(
            kind=HisMessage,
            title=Text(zh="医院发来的消息", en="Messages from hospitals"),
            find=_messages,
            correct=_BY_HOSPITAL,
            hidden=("digest",),
            encrypted=("raw",),
            keep_until=by_retention,
            reason=Text(zh="用于处理医院重发的消息。", en="A hospital may send the message again."),
        ),
        PersonalRecords(
            kind=Enrolment,
            title=Text(zh="先看病后付费账户", en="Pay later account"),
            find=of_person(Enrolment),
            correct=Text(
                zh="信用信息请向来源登记机构申请更正。", en="Ask the registry that holds the information to correct it."
            ),
            keep_until=_with_last_visit,
            reason=_PAYMENTS,
        ),
        PersonalRecords(
            kind=Visit,
            title=Text(zh="就诊和账单", en="Visits and bills"),
            find=_visits,
            correct=_BY_HOSPITAL,
            hidden=("id_number", "events"),
            keep_until=once_settled,
            reason=_PAYMENTS,
        ),
    ],
    open_matters=_open_matters,
    end=_end,
)
