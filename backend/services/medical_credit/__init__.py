"""See the doctor, pay later: citizens get a credit limit, one bill per visit, and pay it after the visit.

Hospitals connect through `integrations/his`. Read `facts`, then `model` (`visit`, `enrolment`), `saga`, which has the
whole process in one table, and `api`. `hospital_commands` applies what hospitals send; `reconciliation` and `repairs`
keep the records of hospital, insurance, bank and city in agreement.
"""

from backend.city.service import Service
from backend.i18n import Text
from backend.services.medical_credit import pages
from backend.services.medical_credit.api import bank, citizen, family, officer
from backend.services.medical_credit.demo import demo
from backend.services.medical_credit.facts import CreditFacts, StandingFacts, TermAsked
from backend.services.medical_credit.model.connection import EligibilityAnswer, UsedAssertion
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyPayer
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.message import HisMessage
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit

service = Service(
    name="medical_credit",
    title=Text(zh="先看病后付费", en="See the doctor, pay later"),
    routes=[
        citizen.show_medical_credit,
        citizen.open_medical_credit,
        citizen.close_medical_credit,
        citizen.list_visits,
        citizen.show_visit,
        citizen.pay_bill,
        bank.receive_bank_notice,
        family.request_family_payer,
        family.list_family_consents,
        family.agree_to_pay,
        family.end_family_consent,
        family.list_family_bills,
        officer.reconcile_day,
        officer.list_reconciliations,
        officer.show_reconciliation,
        pages.show_reconciliation_page,
        officer.export_our_records,
        officer.accept_repairs,
        officer.approve_repairs,
    ],
    documents=[Enrolment, Visit, FamilyPayer, Hospital, HisMessage, UsedAssertion, EligibilityAnswer, Reconciliation],
    facts=[CreditFacts, StandingFacts, TermAsked],
    roles=["hospital", "operator", "approver"],
    demo=demo,
)
