"""Talent code: a talent class with its reasons, a code that partners scan, and benefits that are paid within seconds.

Read `facts` (what the rules may use) and `model` first; then `registries`, `review` (evidence and classes), `claims`
(what a tap is judged by), `saga` (what this service gives to `backend.benefits`, which pays and audits claims), and
last `api`.
"""

from backend.city.person import Person
from backend.city.service import CodeFormat, Service, StoredFacts, routes_of
from backend.codes.signed_code import CodeClaims
from backend.i18n import Text
from backend.rulebook.preview.groups import Groups
from backend.services.talent_code.api import bank, citizen, explanations, officer, partner
from backend.services.talent_code.code import AUDIENCE, SIGN
from backend.services.talent_code.decisions import claim_decisions, class_decisions
from backend.services.talent_code.demo import demo
from backend.services.talent_code.facts import BenefitTerms
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.redemption import Usage
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.personal_data import personal_data
from backend.services.talent_code.present_facts import present_facts
from backend.services.talent_code.rule_modules import CLASS_MODULE, RULE_MODULES
from backend.services.talent_code.stored_people import gather_people, stored_benefit_facts, stored_class_facts
from backend.services.talent_code.synthetic import synthesize

AGES = Groups(title=Text(zh="年龄", en="age"), born="born_at", ages=(30, 35, 45, 60))
"""The ages by which a preview counts talents; programmes set limits at some of them."""

AGES_OF_ALL = Groups(title=AGES.title, born="born_at", ages=(18, 30, 35, 45, 60, 70, 80, 90))
"""Those by which it counts everybody for a benefit, which may be for the old."""

service = Service(
    name="talent_code",
    title=Text(zh="人才码", en="Talent code"),
    roles=["partner", "talent_officer"],
    acts={
        "talent_code.appeal_read": Text(zh="查看了您的申诉", en="Read your appeal"),
        "talent_code.appeal_decided": Text(zh="裁定了您的申诉", en="Decided your appeal"),
        "talent_code.review_requested": Text(
            zh="要求重新核验您的人才材料", en="Asked for your evidence to be checked again"
        ),
        "talent_code.verified": Text(zh="核验了您出示的人才码", en="Verified the talent code that you showed"),
        "talent_code.redeemed": Text(zh="核销了您使用的一项服务", en="Recorded your use of a benefit"),
    },
    authorities={
        "partner": Text(zh="人才服务合作单位", en="A partner for talent services"),
        "talent_officer": Text(zh="人才工作部门", en="The talent office"),
    },
    codes=[CodeFormat(AUDIENCE, CodeClaims, lambda _claims: SIGN.description)],
    demo=demo,
    decisions={CLASS_MODULE: class_decisions, f"{BenefitTerms.module_prefix}*": claim_decisions},
    personal_data=personal_data,
    stored_facts=[
        StoredFacts(
            kind=Talent,
            modules=[CLASS_MODULE],
            derive=stored_class_facts,
            later_is_worse=False,
            groups=AGES,
            by_district=True,
        ),
        StoredFacts(
            kind=Person,
            modules=[f"{BenefitTerms.module_prefix}*"],
            derive=stored_benefit_facts,
            gather=gather_people,
            partly=True,
            groups=AGES_OF_ALL,
            by_district=True,
        ),
    ],
    present_facts=present_facts,
    routes=routes_of(citizen, explanations, partner, officer, bank),
    documents=[Talent, Claim, Budget, Usage],
    rule_modules=RULE_MODULES,
    synthesize=synthesize,
)
