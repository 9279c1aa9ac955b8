"""Talent code: a talent class with its reasons, a code that partners scan, and benefits that are paid within seconds.

Read `facts` (what the rules may use) and `model` first; then `review` (evidence and classes), `claims` (what a tap is
judged by), `saga` (what this service gives to `backend.benefits`, which pays and audits claims), and last `api`.
"""

from backend.city.service import CodeFormat, Service
from backend.i18n import Text
from backend.services.talent_code.api import bank, citizen, officer, partner
from backend.services.talent_code.code import AUDIENCE, read_offline
from backend.services.talent_code.demo import demo
from backend.services.talent_code.facts import AuditFacts, BenefitFacts, TalentFacts, TalentTermAsked
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.redemption import Usage
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.synthetic import synthesize

service = Service(
    name="talent_code",
    title=Text(zh="人才码", en="Talent code"),
    roles=["partner", "talent_officer"],
    codes=[CodeFormat(AUDIENCE, read_offline)],
    demo=demo,
    routes=[
        citizen.show_talent,
        citizen.declare_evidence,
        citizen.withdraw_evidence,
        citizen.set_bank_account,
        citizen.show_talent_code,
        citizen.show_talent_svg,
        citizen.show_talent_png,
        citizen.list_benefits,
        citizen.claim_benefit,
        citizen.show_claim,
        citizen.leave_waitlist,
        citizen.appeal_against_clawback,
        citizen.repay_claim,
        partner.verify_talent_code,
        partner.redeem_benefit,
        officer.list_appeals,
        officer.show_appeal,
        officer.decide_appeal,
        officer.list_budgets,
        officer.request_review,
        bank.receive_payout_notice,
    ],
    documents=[Talent, Claim, Budget, Usage],
    facts=[TalentFacts, BenefitFacts, AuditFacts, TalentTermAsked],
    synthesize=synthesize,
)
