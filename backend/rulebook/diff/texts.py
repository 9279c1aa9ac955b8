"""How the texts of a rule differ: what reads the same on every day is no change, however it names its figures."""

from collections.abc import Iterator, Sequence

from backend.i18n import Text
from backend.rulebook.diff.change import Change, change
from backend.rulebook.modules.module import Otherwise, Rule

Texts = tuple[Text, Text | None]
"""The reason and the remedy of a rule, as they read on a day."""


def text_changes(
    name: str, before: Sequence[Texts], after: Sequence[Texts], old: Rule | Otherwise, new: Rule | Otherwise
) -> Iterator[Change]:
    """Yield how the reason and the remedy differ, as authors write them; `before` and `after` are how they read."""
    if before == after:
        yield change("text_rewritten", name, "none", None, None)
        return
    if [one[0] for one in before] != [one[0] for one in after]:
        yield change("because", name, "wording", old.because, new.because)
    if [one[1] for one in before] != [one[1] for one in after]:
        yield change("remedy", name, "wording", old.remedy, new.remedy)
