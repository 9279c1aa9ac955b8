"""The talent code: one code for a talent, a class with reasons, and benefits that pay in seconds."""

from backend.city.service import CodeFormat, Service
from backend.i18n import Text
from backend.services.talent_code import api, benefits, officer, partners
from backend.services.talent_code.code import AUDIENCE, read_offline
from backend.services.talent_code.demo import demo
from backend.services.talent_code.facts import AuditFacts, BenefitFacts, TalentFacts, TalentTermAsked
from backend.services.talent_code.invention import synthesize
from backend.services.talent_code.model.budget import Budget
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.redeeming import Usage
from backend.services.talent_code.model.talent import Talent

service = Service(
    name="talent_code",
    title=Text(zh="人才码", en="Talent code"),
    routes=[
        api.show_talent,
        api.declare_evidence,
        api.take_back_evidence,
        api.name_account,
        api.show_talent_code,
        api.show_talent_svg,
        api.show_talent_png,
        benefits.list_benefits,
        benefits.make_claim,
        benefits.show_claim,
        benefits.leave_line,
        benefits.appeal_against_clawback,
        benefits.repay_claim,
        partners.verify_talent_code,
        partners.redeem_benefit,
        officer.list_appeals,
        officer.show_appeal,
        officer.decide_on_appeal,
        officer.list_budgets,
        officer.order_review,
        officer.take_payout_notice,
    ],
    documents=[Talent, Claim, Budget, Usage],
    facts=[TalentFacts, BenefitFacts, AuditFacts, TalentTermAsked],
    roles=["partner", "talent_officer"],
    synthesize=synthesize,
    codes=[CodeFormat(AUDIENCE, read_offline)],
    demo=demo,
)
