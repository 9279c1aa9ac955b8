"""What pay later holds on a person, besides what its engine does: messages and requests of hospitals."""

from collections.abc import AsyncIterator
from typing import get_args

from backend.city.person import Person, document_of, known_person
from backend.city.personal_data import by_retention, naming_person
from backend.city.service import City, PersonalRecords, Subject
from backend.i18n import Text
from backend.paylater.personal_data import PayLaterRecords
from backend.services.medical_credit.model.desk_token import DeskToken
from backend.services.medical_credit.model.emergency_access import EmergencyAccess
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

_BY_HOSPITAL = Text(zh="请向就诊的医院申请更正。", en="Ask the hospital that you visited to correct it.")


async def _messages(city: City, subject: Subject) -> AsyncIterator[HisMessage]:
    async for visit in naming_person(Visit, "person")(city, subject):
        for state in get_args(MessageState):
            received = {"visit": visit.id, "state": state}
            async for message in find_all(city.store, HisMessage, received, Order("received_ms")):
                yield message
    person = None if subject.person is None else await city.store.get(Person, subject.person)
    if person is not None:
        ignored = {"patient": person.id_digest, "state": "ignored"}
        async for message in find_all(city.store, HisMessage, ignored, Order("received_ms")):
            if message.visit is None or await city.store.get(Visit, message.visit) is None:
                yield message


async def _eligibility_answers(city: City, subject: Subject) -> AsyncIterator[EligibilityAnswer]:
    if subject.person is None:
        return
    document = document_of(city.encryption, await known_person(city.store, subject.person))
    async for hospital in city.store.scan(Hospital):
        patient = patient_pseudonym(city.encryption, hospital.id, f"id number {document}")
        async for answer in find_all(city.store, EligibilityAnswer, {"patient": patient}, None):
            yield answer


personal_data = PayLaterRecords(
    account=Enrolment,
    account_title=Text(zh="先看病后付费账户", en="Pay later account"),
    correct_account=Text(
        zh="信用信息请向来源登记机构申请更正。", en="Ask the registry that holds the information to correct it."
    ),
    billable=Visit,
    billable_title=Text(zh="就诊和账单", en="Visits and bills"),
    correct_billable=_BY_HOSPITAL,
    hidden=("id_number", "events", "desk_token"),
    consent=FamilyPayer,
).personal_data(
    PersonalRecords(
        kind=EligibilityAnswer,
        title=Text(zh="医院资格查询记录", en="Eligibility requests of hospitals"),
        kept=Text(zh="保留至该次查询不再对应就诊。", en="Until no visit follows the request any more."),
        find=_eligibility_answers,
        hidden=("patient", "desk_token"),
    ),
    PersonalRecords(
        kind=DeskToken,
        title=Text(zh="就诊授权码", en="Desk tokens"),
        kept=Text(zh="保留至授权码失效。", en="Until the code has expired."),
        find=naming_person(DeskToken, "person"),
    ),
    PersonalRecords(
        kind=EmergencyAccess,
        title=Text(zh="急诊未经授权使用记录", en="Emergencies without your consent"),
        kept=Text(zh="保留3年。", en="For three years."),
        find=naming_person(EmergencyAccess, "person"),
        keep_until=by_retention,
        reason=Text(zh="供核查医院是否确为急诊。", en="To check whether the hospital had an emergency."),
    ),
    PersonalRecords(
        kind=HisMessage,
        title=Text(zh="医院发来的消息", en="Messages from hospitals"),
        kept=Text(zh="保留至医院不再重发。", en="Until no hospital repeats the message."),
        find=_messages,
        correct=_BY_HOSPITAL,
        hidden=("digest", "patient"),
        encrypted=("raw",),
        keep_until=by_retention,
        reason=Text(zh="用于处理医院重发的消息。", en="A hospital may send the message again."),
    ),
)
