"""Phones that change their owner, and accounts that change their phone."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import Problem
from backend.services.account.model.account import Account
from backend.store.time import to_ms

UNDO_INTERVAL = timedelta(days=7)
"""The former phone may undo a change for this long: an assumption [A] of 2026-11-29."""

FRESH_PROOF = timedelta(minutes=10)
"""A proof in person stands for the old phone for this long: an assumption [A] of 2026-11-29."""


class NothingToUndo(Problem):
    """No account changed from this phone in the last days."""

    status, title, title_zh = 404, "Nothing to undo", "没有可撤销的更换"


class PhoneProved(Problem):
    """The account is the caller's own; only a phone that had another owner gets a fresh account."""

    status, title = 409, "Phone proved"


def with_phone(account: Account, phone: str, digest: str, former: str | None, session: str, now: datetime) -> Account:
    """Return the account with a new phone, which `session` stays signed in with; `former` may undo it for some days.

    `phone` and `former` are encrypted. People are notified, and other sessions end, from `untold_ms` on.
    """
    return replace(
        account,
        phone=phone,
        phone_digest=digest,
        phone_since=now,
        former_phone=former,
        former_digest=None if former is None else account.phone_digest,
        former_until=None if former is None else now + UNDO_INTERVAL,
        kept_session=session,
        untold_ms=to_ms(now),
    )


def without_phone(account: Account, digest: str) -> Account:
    """Return the account without this phone: it keeps its data and waits for its owner."""
    return replace(account, phone=None, phone_digest=None) if account.phone_digest == digest else account


def may_undo(account: Account, digest: str, now: datetime) -> bool:
    """Return whether the phone with this hash may undo the last change of an account's phone."""
    return account.former_digest == digest and account.former_until is not None and now < account.former_until


def is_empty(account: Account) -> bool:
    """Return whether nothing hangs on an account, so that its phone may move to another."""
    return account.citizen_id is None and not account.roles and not account.proposals


PHONE_CHANGED = Text(
    zh="【城码】您账户的主手机号已更换，其他设备已退出登录。如非您本人操作，请在7天内用原手机号撤销更换，或拨打12345。",
    en="[Chengma] The main phone of your account has changed, and other devices are signed out. If that was not you, "
    "undo it with your old phone within 7 days, or call 12345.",
)
PHONE_RESTORED = Text(
    zh="【城码】您账户的主手机号已恢复为原手机号，所有设备已退出登录。",
    en="[Chengma] The main phone of your account is your old phone again, and all devices are signed out.",
)
PHONE_PASSED_ON = Text(
    zh="您账户的手机号现由他人使用，已与您的账户解除绑定，您的信息未向对方显示。请用新手机号登录，通过人脸识别找回账户。",
    en="Somebody else has the phone of your account now. It no longer opens your account, and they saw nothing of it. "
    "Sign in with a new phone, and recover your account by your face.",
)
