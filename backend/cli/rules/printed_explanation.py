"""An explanation in a terminal, in colour unless NO_COLOR is set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text as Line

from backend.cli.language import AuthorError
from backend.i18n import Text
from backend.rulebook.explanation.explanation import figures_in_force
from backend.rulebook.explanation.reasons import Reason, reasons_of
from backend.rulebook.explanation.values import amount, display
from backend.rulebook.modules.units import is_money

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

    from msgspec import Struct

    from backend.rulebook import Rulebook, Verdict
    from backend.rulebook.explanation.candidates import Candidate
    from backend.rulebook.explanation.explanation import Explanation, Figure, OtherRule
    from backend.rulebook.explanation.way_out import Way, WayOut
    from backend.rulebook.language.explainer import Step

_STYLES = {"✓": "bold green", "·": "dim", "→": "cyan", "+": "yellow"}


class Printer:
    """Prints in the city's time zone and in one language; reasons and remedies are printed in both."""

    def __init__(self, zone: ZoneInfo, language: str) -> None:
        self.zone = zone
        self.language = language
        self.in_fen = False
        self.figures: dict[str, Figure] = {}
        colours = None if os.environ.get("NO_COLOR") else "auto"
        self.console = Console(highlight=False, soft_wrap=True, emoji=False, color_system=colours)

    def explanation(self, found: Explanation) -> None:
        """Print a verdict, the way out, the deciding rule step by step, and each other rule with its reason."""
        self.in_fen, self.figures = found.in_fen, found.figures
        self._lines(self._verdict(found.verdict))
        if found.way_out is not None:
            self._lines(self._way_out(found.way_out))
        self._line("")
        if found.decisive is not None:
            self._lines(self._decisive(found, found.decisive))
        for other in found.others:
            self._lines(self._other(other))

    def only(
        self, rulebook: Rulebook, module: str, facts: Struct, at: datetime, on: date | None, identifier: str
    ) -> None:
        """Print one rule step by step. Raises AuthorError if it is not in force."""
        explained = rulebook.explain(module, facts, at, on=on)
        found = next(((rule, step) for rule, step in explained if rule.id == identifier), None)
        if found is None:
            known = ", ".join(rule.id for rule, _ in explained) or "none"
            raise AuthorError(
                Text(
                    zh=f"{module} 在该时刻没有有效的规则 {identifier!r}；有效的有：{known}",
                    en=f"no rule {identifier!r} of {module} is in force at that time; in force: {known}",
                )
            )
        rule, step = found
        self.figures = figures_in_force(rulebook.modules[module], on or at.astimezone(self.zone).date())
        self._line(f"{'✓' if step.value is True else '·'} {rule.id} → {rule.then}")
        law = rulebook.evaluator(module).law_at(at, on)
        names = {"facts": facts, "now": at, **law.parameter_values}
        for reason in reasons_of(rule.text, rule.condition, names):
            self._line(f"    {self._reason(reason)}")
        self._lines(self._steps(rule.source, rule.then, step))

    # ── parts ──

    def _lines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._line(line)

    def _line(self, text: str) -> None:
        mark = text.strip()[:1]
        self.console.print(Line(text, style=_STYLES.get(mark, "")))

    def _both(self, text: Text) -> tuple[str, str]:
        return text.zh, text.en

    def _say(self, zh: str, en: str) -> str:
        return zh if self.language == "zh" else en

    def _verdict(self, verdict: Verdict) -> Iterator[str]:
        at, result = self._value(verdict.at), self._result(verdict)
        yield self._say(
            f"{verdict.module}，{at}：{result}，依据 {verdict.rule}",
            f"{verdict.module} at {at}: {result} by {verdict.rule}",
        )
        yield from (f"  {text}" for text in self._both(verdict.because))
        if verdict.remedy is not None:
            yield from (f"  → {text}" for text in self._both(verdict.remedy))
        until = self._say("不变", "never") if verdict.changes_at is None else self._value(verdict.changes_at)
        yield "  " + self._say(f"事实不变的，结果改变于：{until}", f"changes with the same facts: {until}")
        yield "  " + self._say(f"规则摘要 {verdict.rulebook[:16]}", f"rulebook {verdict.rulebook[:16]}")

    def _decisive(self, found: Explanation, step: Step) -> Iterator[str]:
        yield f"✓ {found.verdict.rule} → {found.then}"
        yield from self._steps(found.source, found.then, step)

    def _steps(self, source: str, then: str | int, step: Step) -> Iterator[str]:
        yield "    " + self._say(f"来源：{source}", f"source: {source}")
        figure = self.figures.get(str(then))
        if figure is not None:
            yield f"    {figure.name}  =  {self._named(figure.name, figure.value)}  {figure.source}"
        yield from self._tree(step, "    ", source)

    def _tree(self, step: Step, margin: str, source: str) -> Iterator[str]:
        text = " ".join(step.text.split())
        figure = self.figures.get(text)
        other = f"  {figure.source}" if figure is not None and figure.source != source else ""
        yield f"{margin}{text}  =  {self._named(text, step.value)}{other}"
        for inner in step.steps:
            if inner.text.strip("'\"") != self._value(inner.value):
                yield from self._tree(inner, margin + "  ", source)

    def _other(self, other: OtherRule) -> Iterator[str]:
        yield f"{'✓' if other.fired else '·'} {other.rule} → {other.then}"
        for reason in other.reasons:
            yield f"    {self._reason(reason)}"

    def _reason(self, reason: Reason) -> str:
        if reason.elements == 0:
            return self._say(f"{reason.text} 为空", f"{reason.text} is empty")
        holds = self._say("成立" if reason.holds else "不成立", "holds" if reason.holds else "does not hold")
        values = ", ".join(f"{name} = {self._named(name, value)}" for name, value in reason.values.items())
        element = ""
        if reason.element is not None and reason.elements != 1:
            element = self._say(
                f"（{reason.elements} 项中的第 {reason.element} 项）",
                f" (number {reason.element} of {reason.elements})",
            )
        return f"{reason.text}: {holds}{element}" + (f"; {values}" if values else "")

    # ── the way out ──

    def _way_out(self, found: WayOut) -> Iterator[str]:
        if found.waiting is not None:
            when, then = self._value(found.waiting.at), self._result(found.waiting)
            yield "  " + self._say(f"不作任何改变，{when} 起为 {then}", f"without any change: {then} from {when}")
        match found.kind:
            case "best":
                yield "  " + self._say("没有更好的结果", "no result is better")
            case "nothing":
                yield "  " + self._say(
                    "任何改变和等待都不能得到更好的结果", "no change and no time leads to a better result"
                )
            case "unknown":
                yield "  " + self._say(
                    f"{found.searched} 项以内的改变中没有找到办法", f"no way within {found.searched} changes was found"
                )
            case "time" if found.proved:
                yield "  " + self._say("只有时间能改变（已证明）", "only time changes it (proved)")
            case "time":
                yield "  " + self._say(
                    f"{found.searched} 项以内的改变都不能提前", f"no set of up to {found.searched} changes is faster"
                )
            case "change":
                yield from self._ways(found)

    def _ways(self, found: WayOut) -> Iterator[str]:
        proved = self._say("，已证明最小", ", proved smallest") if found.proved else ""
        by = self._say("（须由主管部门）", " (by authorities)") if found.by == "authority" else ""
        count = len(found.ways[0].changes)
        yield "  " + self._say(
            f"最小的办法（{count} 项改变{proved}）{by}:", f"the smallest way ({count} changed{proved}){by}:"
        )
        for way in found.ways:
            yield from self._way(way)
        if found.sooner:
            yield "  " + self._say("改变更多、更早的办法:", "with more changes, earlier:")
        for way in found.sooner:
            yield from self._way(way)

    def _way(self, way: Way) -> Iterator[str]:
        for candidate in way.changes:
            yield f"  + {self._change(candidate)}"
        when, then = self._value(way.verdict.at), self._result(way.verdict)
        yield f"    → {then} " + self._say(f"，{when} 起（{way.verdict.rule}）", f"from {when} by {way.verdict.rule}")

    def _change(self, candidate: Candidate) -> str:
        change = candidate.change
        element = "" if candidate.element is None else f"[{candidate.element}]"
        head, _, rest = change.path.partition(".")
        path = f"{head}{element}{'.' if rest else ''}{rest}"
        values = ", ".join(f"{name}: {self._named(name, value)}" for name, value in candidate.values)
        days = self._say(f"，共 {candidate.days} 天", f", {candidate.days} days") if candidate.days else ""
        return f"{change.what.in_language(self.language)}{days}  [{change.act} {path}: {values}]"

    def _result(self, verdict: Verdict) -> str:
        if self.in_fen and isinstance(verdict.result, int):
            return amount("_fen", verdict.result).in_language(self.language)
        return self._value(verdict.result)

    def _named(self, name: str, value: object) -> str:
        """Return the value of a fact, a parameter or another expression of this text; amounts are in yuan."""
        figure = self.figures.get(name)
        return display(value, self.zone, money=is_money(name) if figure is None else figure.money)

    def _value(self, value: object) -> str:
        return display(value, self.zone)
