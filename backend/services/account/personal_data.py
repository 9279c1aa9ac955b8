"""What the account service, and the city itself, hold on a person."""

from collections.abc import AsyncIterator

from backend.city.audit_log import AuditEntry
from backend.city.bank_cards import BankCard
from backend.city.notices import Notice
from backend.city.person import Person
from backend.city.personal_data import by_retention, forever, naming_account, naming_person, of_person
from backend.city.service import City, OpenMatter, PersonalData, PersonalRecords, Subject
from backend.i18n import Text
from backend.services.account.model.account import Account
from backend.services.account.model.closure import Closure
from backend.services.account.model.identity_case import IdentityCase
from backend.services.account.model.session import Session
from backend.store import Order
from backend.store.paging import find_all


async def _account(city: City, subject: Subject) -> AsyncIterator[Account]:
    account = await city.store.get(Account, subject.account)
    if account is not None:
        yield account


async def _closure(city: City, subject: Subject) -> AsyncIterator[Closure]:
    closure = await city.store.get(Closure, subject.account)
    if closure is not None:
        yield closure


async def _notices(city: City, subject: Subject) -> AsyncIterator[Notice]:
    for recipient in filter(None, (subject.person, subject.account)):
        async for notice in find_all(city.store, Notice, {"recipient": recipient}, Order("at_ms")):
            yield notice


async def _entries(city: City, subject: Subject) -> AsyncIterator[AuditEntry]:
    for touched in filter(None, (subject.person, subject.account)):
        async for entry in find_all(city.store, AuditEntry, {"subject": touched}, Order("sort_key")):
            yield entry


async def _open_matters(city: City, subject: Subject) -> list[OpenMatter]:
    account = await city.store.get(Account, subject.account)
    if account is None or not (account.roles or account.venues):
        return []
    return [
        OpenMatter(
            Text(
                zh="您的账户有工作人员角色，请先由管理员收回。",
                en="Your account has a role of staff; have an administrator withdraw it first.",
            )
        )
    ]


personal_data = PersonalData(
    records=[
        PersonalRecords(
            kind=BankCard,
            title=Text(zh="收款银行卡", en="Bank cards for payments"),
            kept=Text(
                zh="保留至您更换收款账户或注销账户。", en="Until you register another card, or close the account."
            ),
            find=naming_person(BankCard, "holder"),
            correct=Text(zh="可自行登记另一张银行卡。", en="You can register another card yourself."),
            hidden=("id", "holder"),
        ),
        PersonalRecords(
            kind=Notice,
            title=Text(zh="通知", en="Notices"),
            kept=Text(
                zh="自发出之日起保留180天，注销账户时删除。",
                en="180 days after it was sent, or until you close the account.",
            ),
            find=_notices,
            hidden=("recipient", "push"),
        ),
        PersonalRecords(
            kind=Session,
            title=Text(zh="登录的设备", en="Signed-in devices"),
            kept=Text(zh="保留至登录失效。", en="Until the session ends."),
            find=naming_account(Session, "account_id"),
            correct=Text(zh="可自行退出任一设备。", en="You can end each session yourself."),
            hidden=("refresh_digest", "previous_digest", "retry_digest", "successor"),
        ),
        PersonalRecords(
            kind=Account,
            title=Text(zh="账户", en="Account"),
            kept=Text(zh="保留至您注销账户。", en="Until you close the account."),
            find=_account,
            correct=Text(zh="可自行更换手机号。", en="You can change the phone yourself."),
            hidden=(
                "phone_digest",
                "former_digest",
                "kept_session",
                "untold_ms",
                "proposals",
                "proposal_expires_ms",
                "staff_since_ms",
            ),
            encrypted=("phone", "former_phone"),
        ),
        PersonalRecords(
            kind=AuditEntry,
            title=Text(zh="与您有关的操作记录", en="Acts that concern you"),
            kept=Text(
                zh="永久保留，用于证明记录未被篡改；其中不含您的姓名、证件号码和手机号码。",
                en="For ever: they prove that nothing was changed. They hold no name, ID number or phone.",
            ),
            find=_entries,
            hidden=("account", "subject", "sort_key", "unchained_ms", "block"),
            keep_until=forever,
            reason=Text(
                zh="操作日志只含不可识别的编号，长期保存以备查证。",
                en="The audit log holds opaque ids only, and is kept so that every act can be verified.",
            ),
        ),
        PersonalRecords(
            kind=IdentityCase,
            title=Text(zh="关于身份信息的事项", en="Cases about your identity"),
            kept=Text(zh="自受理之日起保留五年。", en="Five years after it was opened."),
            find=naming_account(IdentityCase, "account"),
            hidden=("votes", "acts", "acts_due_ms", "due_ms", "holder"),
            encrypted=("name",),
            keep_until=by_retention,
            reason=Text(
                zh="身份信息的处理决定可能被复查，须保留五年。",
                en="A decision on an identity may be contested, so it is kept for five years.",
            ),
        ),
        PersonalRecords(
            kind=Closure,
            title=Text(zh="注销申请", en="Closing of the account"),
            kept=Text(zh="保留至最后一项保留的记录被删除。", en="Until the last kept record is erased."),
            find=_closure,
        ),
        PersonalRecords(
            kind=Person,
            title=Text(zh="身份信息", en="Identity"),
            kept=Text(
                zh="保留至账户注销且没有其他记录须保留。", en="Until the account is closed and no other record is kept."
            ),
            find=of_person(Person),
            correct=Text(
                zh="姓名或证件号码有误的，请申请更正，或拨打12345。",
                en="If your name or number is wrong, request a correction or call 12345.",
            ),
            hidden=("id_digest",),
            encrypted=("id_number", "name"),
            reason=Text(zh="其他保留的记录须能对应到本人。", en="The other records that are kept refer to it."),
        ),
    ],
    open_matters=_open_matters,
)
