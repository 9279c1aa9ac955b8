"""What a proof says: for each claim that it holds, a counterexample, or that it is unknown, and why."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from backend.i18n import Text

AnswerWord = Literal["holds", "counterexample", "unknown"]


class Decision(Struct, frozen=True):
    """What one edition decides in a counterexample."""

    result: str
    rule: str
    fired: tuple[str, ...]


class Counterexample(Struct, frozen=True):
    """The smallest person and instant that contradict a claim, as the engine confirmed.

    `facts` are YAML, and `changed` are those of the same person after the change that the claim is about. `case` can be
    added to the cases of the module as it is.
    """

    at: datetime
    facts: str
    changed: str | None
    before: Decision | None
    after: Decision
    case: str


def case_name(claim: Text, before: Decision | None, after: Decision) -> Text:
    """Return the name of a counterexample's case: the claim that it contradicts, and what is decided."""
    if before is None:
        return Text(
            zh=f"反例：{claim.zh}（结果是 {after.result}）",
            en=f"counterexample: {claim.en} (the result is {after.result})",
        )
    return Text(
        zh=f"反例：{claim.zh}（结果由 {before.result} 变为 {after.result}）",
        en=f"counterexample: {claim.en} (the result changes from {before.result} to {after.result})",
    )


class ClaimResult(Struct, frozen=True):
    """The answer to one claim.

    `lists` are the greatest lengths of the lists of the facts that were tried. If `complete`, no longer list can change
    the answer. `left_out` says what the prover does not know. `fails` is the author's reason why the claim is known not
    to hold. `by_author` says that the author of a release submitted the claim with it, so it is none of the city's.
    """

    module: str
    claim: str
    name: Text
    answer: AnswerWord
    lists: dict[str, int]
    complete: bool
    left_out: tuple[Text, ...]
    seconds: float
    counterexample: Counterexample | None = None
    fails: str | None = None
    by_author: bool = False

    @property
    def as_expected(self) -> bool:
        """Whether it holds, or fails for the reason that the author gave."""
        return self.answer == ("holds" if self.fails is None else "counterexample")


class ProofReport(Struct, frozen=True):
    """The answers to all claims about an edition, `new`, or about the change from `old` to it, by their digests."""

    old: str | None
    new: str
    results: tuple[ClaimResult, ...]
    seconds: float

    @property
    def answer(self) -> AnswerWord:
        """Return `counterexample` if there is one that nobody expects, else `unknown` if a claim is, else `holds`."""
        wrong = [result.answer for result in self.results if not result.as_expected]
        if "counterexample" in wrong or "holds" in wrong:
            return "counterexample"
        return "unknown" if wrong else "holds"
