"""See the doctor, pay later: credit limits, one bill for each visit, and hospitals connected through their systems."""

from backend.credit import CreditAccount
from backend.idempotency import KeptAnswer
from backend.service import Service
from backend.services.medical_credit import api, family, payments
from backend.services.medical_credit.facts import CreditFacts, StandingFacts, TermAsked
from backend.services.medical_credit.model.connection import EligibilityAnswer, UsedAssertion
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyConsent
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.message import HisMessage
from backend.services.medical_credit.model.visit import Visit
from backend.text import Text

service = Service(
    name="medical_credit",
    title=Text(zh="先看病后付费", en="See the doctor, pay later"),
    routes=[
        api.show_medical_credit,
        api.open_medical_credit,
        api.close_medical_credit,
        api.list_visits,
        api.show_visit,
        payments.pay_bill,
        payments.take_bank_notice,
        family.ask_family_member,
        family.list_family,
        family.agree_to_pay,
        family.end_family_consent,
        family.list_family_bills,
    ],
    documents=[
        Enrolment,
        CreditAccount,
        Visit,
        FamilyConsent,
        Hospital,
        HisMessage,
        KeptAnswer,
        UsedAssertion,
        EligibilityAnswer,
    ],
    facts=[CreditFacts, StandingFacts, TermAsked],
)
