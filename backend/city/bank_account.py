"""Bank cards and accounts of people and firms, as requests name them and answers show them."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from backend.city.typed_text import compact
from backend.problems import FieldError, Problem

_NUMBER = re.compile(r"\d{8,32}", re.ASCII)


class BankAccountRequest(Struct, forbid_unknown_fields=True):
    """The bank card or account for payouts: 8 to 32 digits; spaces and hyphens are ignored.

    With `phone`, the one that the bank has for it, the bank proves that the card is the caller's own: name, ID number
    and phone must fit. Then even a card that replaces another one is usable at once.
    """

    number: Annotated[str, Meta(min_length=8, max_length=64)]
    phone: Annotated[str, Meta(min_length=5, max_length=32)] | None = None


class AccountEnding(Struct, frozen=True):
    """The last digits of the account for payouts."""

    ending: str


class InvalidBankAccount(Problem):
    """The number is not that of a bank card or account: it does not have 8 to 32 digits."""

    status, title = 400, "Invalid bank account"


def parse_card_number(text: str) -> str:
    """Return the number of a bank card or account as digits only. Raises InvalidBankAccount.

    There is no check digit: cards and passbooks without one are in use, and the bank decides at the payout.
    """
    number = compact(text)
    if not _NUMBER.fullmatch(number):
        english = "A bank card or account number has 8 to 32 digits; please check it."
        chinese = "银行卡号或账号应为8至32位数字，请核对后重新填写。"
        raise InvalidBankAccount(zh=chinese, en=english, errors=(FieldError("/number", english, chinese),))
    return number
