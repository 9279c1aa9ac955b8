"""What differs between our records and another party's, in sentences that an accountant understands."""

from collections.abc import Iterable

from backend.i18n import Text, decimal_yuan

DifferingValue = tuple[Text, str, str]
"""What differs, our value, and that of the other party."""


def differing_text(subject: Text, what: Iterable[DifferingValue], other: Text) -> Text:
    """Return the sentence that names what differs; `other` is the other party, in English with its preposition."""
    parts = list(what)
    zh = "；".join(f"{name.zh}我方为{ours}，{other.zh}为{theirs}" for name, ours, theirs in parts)
    en = "; ".join(f"the {name.en} is {ours} here and {theirs} {other.en}" for name, ours, theirs in parts)
    return Text(zh=f"{subject.zh}：{zh}。", en=f"{subject.en}: {en}.")


def repeated_text(subject: Text, record: Text, fen: int) -> Text:
    """Return the sentence that another party's record has something more than once, each time with this amount."""
    amount = decimal_yuan(fen)
    return Text(
        zh=f"{subject.zh}在{record.zh}中重复出现，每次{amount}元。",
        en=f"{subject.en} is in {record.en} more than once, with {amount} yuan each time.",
    )
