"""See the doctor, pay later: citizens get a credit limit, one bill per visit, and pay it after the visit.

Hospitals connect through `integrations/his`. Read `facts`, then `model` (`visit`, `enrolment`), `saga`, which has the
whole process in one table, and `api`. `hospital_commands` applies what hospitals send; `reconciliation` keeps the
records of hospital, insurance, bank and city in agreement.
"""

from backend.city.service import Service, StoredFacts, routes_of
from backend.i18n import Text
from backend.services.medical_credit import pages
from backend.services.medical_credit.api import bank, citizen, consent, explanations, hospital, officer
from backend.services.medical_credit.demo import demo
from backend.services.medical_credit.eligibility import present_limit_facts, present_standing_facts
from backend.services.medical_credit.model.desk_token import DeskToken, DeskTokenGuesses
from backend.services.medical_credit.model.emergency_access import EmergencyAccess
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyPayer
from backend.services.medical_credit.model.hospital import EligibilityAnswer, HisMessage, Hospital, UsedAssertion
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.model.visit_transaction import VisitTransaction
from backend.services.medical_credit.personal_data import personal_data
from backend.services.medical_credit.rule_modules import LIMIT, RULE_MODULES, STANDING
from backend.services.medical_credit.stored_accounts import gather_accounts, stored_standing_facts

service = Service(
    name="medical_credit",
    title=Text(zh="先看病后付费", en="See the doctor, pay later"),
    routes=routes_of(citizen, explanations, consent, bank, hospital, officer, pages),
    documents=[
        Enrolment,
        Visit,
        VisitTransaction,
        FamilyPayer,
        DeskToken,
        DeskTokenGuesses,
        EmergencyAccess,
        Hospital,
        HisMessage,
        UsedAssertion,
        EligibilityAnswer,
        Reconciliation,
    ],
    rule_modules=RULE_MODULES,
    stored_facts=[
        StoredFacts(kind=Enrolment, modules=list(LIMIT.values()), by_district=True),
        StoredFacts(
            kind=Enrolment,
            modules=[STANDING],
            gather=gather_accounts,
            derive=stored_standing_facts,
            by_district=True,
        ),
    ],
    roles=["operator", "approver"],
    system_roles=["hospital"],
    exclusive_roles=[("operator", "approver")],
    acts={
        "medical_credit.eligibility_asked": Text(
            zh="查询了您能否先看病后付费", en="Asked whether you may see the doctor first and pay later"
        ),
        "medical_credit.emergency_access": Text(
            zh="因急诊使用了您的先看病后付费（您未授权该医院）",
            en="Used your pay later in an emergency, without your consent",
        ),
        "medical_credit.repair_accepted": Text(zh="受理了您账单的更正", en="Accepted a correction of your bill"),
        "medical_credit.repair_approved": Text(zh="批准了您账单的更正", en="Approved a correction of your bill"),
    },
    authorities={
        "hospital": Text(zh="医院", en="A hospital"),
        "approver": Text(zh="城市财务复核部门", en="The city's financial control"),
    },
    demo=demo,
    personal_data=personal_data,
    present_facts={
        STANDING: present_standing_facts,
        **dict.fromkeys(LIMIT.values(), present_limit_facts),
    },
)
