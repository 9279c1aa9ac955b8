"""Accounts: sign in by phone, give one's real name once, and know what the city has on record."""

from backend.city.person import Profile
from backend.city.service import Service
from backend.i18n import Text
from backend.services.account import api, sessions
from backend.services.account.demo import demo
from backend.services.account.invention import synthesize
from backend.services.account.model import Account, Session, SignInChallenge

service = Service(
    name="account",
    title=Text(zh="账户", en="Account"),
    routes=[
        sessions.send_sign_in_code,
        sessions.sign_in,
        sessions.refresh_session,
        sessions.sign_out,
        api.show_account,
        api.give_real_name,
        api.change_phone,
        api.look_up_account,
        api.grant_roles,
        api.show_public_keys,
    ],
    documents=[Account, SignInChallenge, Session, Profile],
    roles=[
        "operator",
        "auditor",
        "author",
        "citizen",
    ],  # the last three guard nothing today, but accounts may hold them
    synthesize=synthesize,
    demo=demo,
)
