"""See the doctor, pay later: credit limits, one bill for each visit, and hospitals connected through their systems."""

from backend.city.service import Service
from backend.i18n import Text
from backend.paylater.credit_account import CreditAccount
from backend.services.medical_credit import api, family, payments, reconciliations
from backend.services.medical_credit.demo import demo
from backend.services.medical_credit.facts import CreditFacts, StandingFacts, TermAsked
from backend.services.medical_credit.model.connection import EligibilityAnswer, UsedAssertion
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyConsent
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.message import HisMessage
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit

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
        reconciliations.reconcile_day,
        reconciliations.list_days,
        reconciliations.show_day,
        reconciliations.show_page,
        reconciliations.show_our_side,
        reconciliations.accept_repairs,
        reconciliations.approve_repairs,
    ],
    documents=[
        Enrolment,
        CreditAccount,
        Visit,
        FamilyConsent,
        Hospital,
        HisMessage,
        UsedAssertion,
        EligibilityAnswer,
        Reconciliation,
    ],
    facts=[CreditFacts, StandingFacts, TermAsked],
    roles=["hospital", "operator", "approver"],
    demo=demo,
)
