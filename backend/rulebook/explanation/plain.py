"""An explanation as a citizen reads it, in Chinese or English: the reason, what to do, and when it changes."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from backend.i18n import Text
from backend.rulebook import Verdict
from backend.rulebook.explanation.candidates import Candidate
from backend.rulebook.explanation.explanation import Explanation, Offered
from backend.rulebook.explanation.values import amount, minute
from backend.rulebook.explanation.way_out import Way, WayOut

Describe = Callable[[Verdict], Text]

_OFFERS: dict[Offered, Text] = {
    "claim": Text(zh="可申领", en="you can claim"),
    "use": Text(zh="可享受", en="you can use"),
}


def sentences(explanation: Explanation, zone: ZoneInfo, describe: Describe | None = None) -> list[Text]:
    """Return what a citizen reads; `describe` puts a verdict in words, such as "Green code".

    Without it, a number is named by the title of the module, and a word by the reason of the rule that decides it.
    """

    def by_default(verdict: Verdict) -> Text:
        if not isinstance(verdict.result, int):
            return verdict.because
        number = amount("_fen" if explanation.in_fen else "", verdict.result)
        return Text(zh=f"{explanation.title.zh}：{number.zh}", en=f"{explanation.title.en}: {number.en}")

    written = _Writer(zone, describe or by_default, explanation).sentences(explanation)
    return list(dict.fromkeys(written))


class _Writer:
    def __init__(self, zone: ZoneInfo, describe: Describe, explanation: Explanation) -> None:
        self.zone = zone
        self.describe = describe
        self.at = explanation.verdict.at
        self.result = explanation.verdict.result
        self.offered: Offered | None = explanation.offered

    def sentences(self, explanation: Explanation) -> Iterator[Text]:
        verdict, way_out = explanation.verdict, explanation.way_out
        yield verdict.because
        if verdict.remedy is not None:
            yield verdict.remedy
        if way_out is not None:
            yield from self._way_out(way_out)
        if verdict.changes_at is not None and (way_out is None or way_out.waiting is None):
            yield self._later(explanation.upcoming, verdict.changes_at)

    def _later(self, upcoming: list[Verdict], at: datetime) -> Text:
        when = minute(at, self.zone)
        if not upcoming:
            return Text(
                zh=f"情况不变的，{when}起结果会有变化。", en=f"If nothing else changes, this changes on {when}."
            )
        if self.offered is not None and upcoming[0].result == self.result == 0:  # another reason excludes then
            because = upcoming[0].because
            return Text(
                zh=f"情况不变的，{when}起仍不能{'享受' if self.offered == 'use' else '申领'}：{because.zh}。",
                en=f"If nothing else changes, from {when} on you still cannot {self.offered} it: {because.en}.",
            )
        then, offer = self.describe(upcoming[0]), self._offer(upcoming[0])
        return Text(
            zh=f"情况不变的，{when}起{offer.zh}：{then.zh}。",
            en=f"If nothing else changes, from {when} on{offer.en}: {then.en}.",
        )

    def _offer(self, verdict: Verdict) -> Text:
        """Return the words between an instant and what one can then claim or use; none for other verdicts."""
        if self.offered is None or not isinstance(verdict.result, int) or verdict.result <= 0:
            return Text(zh="", en="")
        words = _OFFERS[self.offered]
        return Text(zh=words.zh, en=f" {words.en}")

    def _way_out(self, found: WayOut) -> Iterator[Text]:
        match found.kind:
            case "change":
                yield self._way(found.ways[0], found)
                for way in found.ways[1:]:
                    yield Text(zh="或者：", en="Or: ") + self._acts(way)
                for way in found.sooner[:1]:
                    yield Text(zh="更快的办法：", en="A faster way: ") + self._acts(way)
            case "nothing":
                yield Text(
                    zh="目前没有您本人可以办理的事项能改变这一结果，等待也不会改变。如认为记录有误，请申请更正。",
                    en="Neither you nor time can change this. If a record is wrong, have it corrected.",
                )
            case "unknown":
                yield Text(
                    zh="没有找到三项以内的办法。请咨询主管部门。",
                    en="No way with up to three steps was found. Ask the office in charge.",
                )
            case _:
                pass
        if found.waiting is not None:
            yield self._waiting(found)

    def _waiting(self, found: WayOut) -> Text:
        assert found.waiting is not None
        when, then = minute(found.waiting.at, self.zone), self.describe(found.waiting)
        offer, inevitable = self._offer(found.waiting), found.kind == "time" and found.proved
        if offer.zh:  # a benefit takes an act: it is claimed or used
            return Text(
                zh=f"{'无法提前' if inevitable else '情况不变的'}，{when}起{offer.zh}：{then.zh}。",
                en=f"{'You cannot make it earlier:' if inevitable else 'If nothing else changes,'} "
                f"from {when} on{offer.en}: {then.en}.",
            )
        if inevitable:
            return Text(
                zh=f"您无需办理任何事项，也无法提前：{when}起自动变为：{then.zh}。",
                en=f"You need not do anything, and cannot make it earlier: from {when} on, automatically: {then.en}.",
            )
        return Text(
            zh=f"不办理任何事项的，{when}起自动变为：{then.zh}。",
            en=f"Without doing anything, from {when} on, automatically: {then.en}.",
        )

    def _way(self, way: Way, found: WayOut) -> Text:
        if found.by == "authority":
            opening = Text(zh="您本人无法改变，需要：", en="You cannot change this yourself. It takes this: ")
        elif found.proved:
            opening = Text(zh="最简便的办法：", en="The shortest way: ")
        else:
            opening = Text(zh="一个办法：", en="One way: ")
        return opening + self._acts(way)

    def _acts(self, way: Way) -> Text:
        counts = Counter(self._act(candidate) for candidate in way.changes)
        acts = [act + _times(count) for act, count in counts.items()]
        when, then = minute(way.verdict.at, self.zone), self.describe(way.verdict)
        offer = self._offer(way.verdict)
        return Text(
            zh=f"{'；'.join(act.zh for act in acts)}。最早{when}起{offer.zh}：{then.zh}。",
            en=f"{'; '.join(act.en for act in acts)}. From {when} at the earliest{offer.en}: {then.en}.",
        )

    def _act(self, candidate: Candidate) -> Text:
        what = candidate.change.what
        words = [candidate.change.words[value] for _, value in candidate.values if str(value) in candidate.change.words]
        if candidate.change.act == "remove":
            words = [self._detail(name, value) for name, value in candidate.values]
        if words:
            zh, en = "，".join(word.zh for word in words), ", ".join(word.en for word in words)
            what = Text(zh=f"{what.zh}（{zh}）", en=f"{what.en} ({en})")
        if isinstance(candidate.value, int) and not isinstance(candidate.value, bool):
            what += self._number(candidate.values[0][0], candidate.before, candidate.value)
        if candidate.days:
            last = candidate.values[0][1].astimezone(self.zone).strftime("%Y-%m-%d")
            return Text(
                zh=f"{what.zh}，共{candidate.days}天，到{last}", en=f"{what.en}, on {candidate.days} days, until {last}"
            )
        if candidate.at is None or candidate.at <= self.at:
            return what
        when = minute(candidate.at, self.zone)
        return Text(zh=f"{what.zh}（{when}或之后）", en=f"{what.en} (on {when} or later)")

    def _detail(self, name: str, value: Any) -> Text:  # noqa: ANN401  a field of the facts
        if isinstance(value, int) and not isinstance(value, bool):
            return amount(name, value)
        shown = minute(value, self.zone) if isinstance(value, datetime) else str(value)
        return Text(zh=shown, en=shown)

    @staticmethod
    def _number(name: str, before: Any, value: int) -> Text:  # noqa: ANN401  a number, or absent
        now, then = amount(name, before if isinstance(before, int) else 0), amount(name, value)
        if before is None:
            return Text(zh=f"（达到{then.zh}）", en=f" (to {then.en})")
        return Text(zh=f"（由{now.zh}变为{then.zh}）", en=f" (from {now.en} to {then.en})")


def _times(count: int) -> Text:
    return Text(zh="", en="") if count == 1 else Text(zh=f"（{count}项）", en=f" ({count} times)")
