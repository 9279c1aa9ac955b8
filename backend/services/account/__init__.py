"""Accounts: citizens sign in by phone, verify their identity once, and see what the city has on record.

Read `model` first (accounts, sign-in codes and sessions as documents, and the decisions on them), then `sign_in_codes`,
`sessions` and `accounts` (their use of the store), then the routes in `api`. `staff` grants and withdraws roles,
`bootstrap` enters the first operators. `tasks` deletes what has expired.
"""

from backend.city.person import Person
from backend.city.service import EVERY_OTHER_ROLE, Service, routes_of
from backend.i18n import Text
from backend.services.account.accounts import find_standing
from backend.services.account.api import (
    citizen,
    identity,
    identity_officer,
    notices,
    operator,
    phone,
    privacy,
    sign_in,
    staff,
    verifier,
)
from backend.services.account.demo import demo
from backend.services.account.model.account import Account
from backend.services.account.model.closure import Closure
from backend.services.account.model.identity_case import IDENTITY_OFFICER, IdentityCase
from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.account.model.staff import OPERATOR, OperatorRoster
from backend.services.account.personal_data import personal_data
from backend.services.account.synthetic import synthesize

service = Service(
    name="account",
    title=Text(zh="账户", en="Account"),
    routes=routes_of(sign_in, citizen, identity, identity_officer, phone, notices, privacy, operator, staff, verifier),
    documents=[Account, SignInChallenge, Session, Person, IdentityCase, OperatorRoster, Closure],
    roles=[OPERATOR, "auditor", IDENTITY_OFFICER],
    exclusive_roles=[("auditor", EVERY_OTHER_ROLE)],
    standing=find_standing,
    acts={
        "account.identity_case_read": Text(zh="查看了关于您身份信息的事项", en="Read a case about your identity"),
        "account.identity_approved": Text(zh="核准了关于您身份信息的事项", en="Approved a case about your identity"),
        "account.identity_refused": Text(zh="未核准关于您身份信息的事项", en="Refused a case about your identity"),
        "account.looked_up": Text(zh="按手机号查询了您的账户", en="Looked up your account by your phone"),
        "account.number_taken": Text(
            zh="当面核验身份后，您的证件号码转至另一账户",
            en="Proved in person that your ID number is theirs",
        ),
        "account.grant_proposed": Text(zh="提议授予您工作角色", en="Proposed to grant you a role"),
        "account.grant_approved": Text(zh="批准授予您工作角色", en="Approved a role for you"),
        "account.grant_declined": Text(zh="撤回或否决了授予您的角色", en="Declined a role for you"),
        "account.roles_withdrawn": Text(zh="收回了您的工作角色", en="Withdrew a role from you"),
    },
    authorities={
        "operator": Text(zh="城市平台运营部门", en="The city's operators"),
        IDENTITY_OFFICER: Text(zh="公安机关人口管理部门", en="The population office of the police"),
        "citizen": Text(zh="市民本人", en="A citizen"),
    },
    synthesize=synthesize,
    demo=demo,
    personal_data=personal_data,
)
