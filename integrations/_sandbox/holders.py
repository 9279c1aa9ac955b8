"""Holders of the accounts of a sandbox bank.

An account belongs to the first person whose name is sent with it, with the first ID number and phone that are checked.
So every invented person has cards of their own, and nobody else is paid to them. `STRANGERS_CARD` is always another
person's.
"""

import re
import sqlite3

from backend.city.bank_cards import CardHolder

STRANGERS_CARD = "6217000019999999994"
_STRANGER = CardHolder("他人", "990000199001010017", "13000000000")


def holder_fits(connection: sqlite3.Connection, account: str, holder: CardHolder) -> bool:
    """Return whether all given factors are those of an account's holder; factors that were unknown are recorded."""
    row = connection.execute("SELECT * FROM holders WHERE account = ?", (account,)).fetchone()
    known = CardHolder(row["name"], row["id_number"], row["phone"]) if row is not None else None
    if known is None and account == STRANGERS_CARD:
        known = _STRANGER
    name, id_number, phone = _plain_name(holder.name), holder.id_number, _plain_phone(holder.phone)
    if known is not None:
        given = zip((name, id_number, phone), (known.name, known.id_number, known.phone), strict=True)
        if any(one is not None and other is not None and one != other for one, other in given):
            return False
        name, id_number, phone = known.name, known.id_number or id_number, known.phone or phone
    set_holder(connection, account, CardHolder(name, id_number, phone))
    return True


def set_holder(connection: sqlite3.Connection, account: str, holder: CardHolder) -> None:
    """Record the holder of an account."""
    row = (account, _plain_name(holder.name), holder.id_number, _plain_phone(holder.phone))
    connection.execute("INSERT OR REPLACE INTO holders VALUES (?, ?, ?, ?)", row)


def _plain_name(name: str) -> str:
    """Return a name as banks compare it: in capitals, without spaces and middle dots."""
    return re.sub(r"[\s·•‧∙⋅・]", "", name).upper()


def _plain_phone(phone: str | None) -> str | None:
    return None if phone is None else re.sub(r"^(\+?86)?(?=1\d{10}$)", "", phone)
