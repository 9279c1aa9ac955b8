"""Accounts: citizens sign in by phone, verify their identity once, and see what the city has on record.

Read `model` first (accounts, sign-in codes and sessions as documents, and the decisions on them), then `sign_in_codes`,
`sessions` and `accounts` (their use of the store), then the routes in `api`. `tasks` deletes what has expired.
"""

from backend.city.person import Person
from backend.city.service import Service, routes_of
from backend.i18n import Text
from backend.services.account.api import citizen, identity, notices, operator, sign_in, verifier
from backend.services.account.demo import demo
from backend.services.account.model.account import Account
from backend.services.account.model.identity_case import IdentityCase
from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.account.synthetic import synthesize

service = Service(
    name="account",
    title=Text(zh="账户", en="Account"),
    routes=routes_of(sign_in, citizen, identity, notices, operator, verifier),
    documents=[Account, SignInChallenge, Session, Person, IdentityCase],
    # No route requires the last three roles yet, but accounts may have them.
    roles=["operator", "auditor", "author", "citizen"],
    synthesize=synthesize,
    demo=demo,
)
