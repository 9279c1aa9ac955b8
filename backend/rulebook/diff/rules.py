"""How the rules of two editions of a module differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from zoneinfo import ZoneInfo

from backend.rulebook.diff.change import Change, Effect, change, period
from backend.rulebook.diff.meaning import change_days, condition_differences, law_on, meaning_of
from backend.rulebook.diff.texts import Texts, text_changes
from backend.rulebook.modules.figures import TextsOfTheDay
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.modules.periods import in_force


@dataclass(frozen=True)
class RuleComparison:
    """The rules of an `old` and a `new` module; `renamed` are the new names of the old one's parameters."""

    old: Module
    new: Module
    renamed: Mapping[str, str]
    zone: ZoneInfo

    def changes(self) -> Iterator[Change]:
        """Yield what changed of each rule, in the order of the new file; rules that were removed come first."""
        before, after = ({rule.id: rule for rule in module.rules} for module in (self.old, self.new))
        other_names = self._other_names(before, after)
        for name, rule in before.items():
            if name not in after and name not in other_names:
                yield change("rule_removed", name, "result", _summary(rule), None)
        for name, rule in after.items():
            former = next((one for one, other in other_names.items() if other == name), name)
            if former not in before:
                yield change("rule_added", name, "result", None, _summary(rule))
                continue
            if former != name:
                yield change("rule_renamed", former, "wording", former, name)
            yield from self._of_rule(before[former], rule)
        yield from self._order([other_names.get(name, name) for name in before], list(after))

    def _of_rule(self, old: Rule, new: Rule) -> Iterator[Change]:
        name = new.id
        if (old.since, old.until) != (new.since, new.until):
            yield change("period", name, "result", period(old.since, old.until), period(new.since, new.until))
        differences = condition_differences(old, new, self.renamed)
        for one in differences:
            kind = "threshold" if one.subject else "condition"
            yield change(kind, name, self._effect(old, new), one.before, one.after, place=one.subject)
        if not differences and not self._same_words(old, new):
            yield change("rewritten", name, "none", None, None)
        if self.renamed.get(str(old.then), old.then) != new.then:
            yield change("then", name, self._effect(old, new), old.then, new.then, money=self.new.in_yuan)
        if (old.because, old.remedy) != (new.because, new.remedy):
            spans = [(one.since, one.until) for one in (old, new)]
            days = [day for day in change_days((self.old, self.new)) if any(in_force(*span, day) for span in spans)]
            before, after = self._texts(self.old, old, days), self._texts(self.new, new, days)
            yield from text_changes(name, before, after, old, new)
        if old.source != new.source:
            yield change("source", name, "none", old.source, new.source)
        if old.articles != new.articles:
            yield change("encoded", name, "none", old.articles, new.articles)

    def _texts(self, module: Module, rule: Rule, days: Sequence[date]) -> list[Texts]:
        """Return the texts of a rule as they read on each day."""
        rules = [TextsOfTheDay(module, day, self.zone).rule(rule) for day in days]
        return [(one.because, one.remedy) for one in rules]

    def _effect(self, old: Rule, new: Rule) -> Effect:
        """Return "none" if the rule decides the same on every day, such as with a parameter in place of its value."""
        days = change_days((self.old, self.new))
        same = all(law_on(self.old, day).get(old.id) == law_on(self.new, day).get(new.id) for day in days)
        return "none" if same else "result"

    def _same_words(self, old: Rule, new: Rule) -> bool:
        """Return whether two conditions of the same meaning differ in layout and renamed parameters only."""
        words = "".join(old.text.split())
        for former, name in self.renamed.items():
            words = words.replace(former, name)
        return words == "".join(new.text.split())

    def _other_names(self, before: Mapping[str, Rule], after: Mapping[str, Rule]) -> dict[str, str]:
        """Return the new names of rules with the same condition, result and period as a rule of another name."""
        lost = [rule for name, rule in before.items() if name not in after]
        found = [rule for name, rule in after.items() if name not in before]
        names: dict[str, str] = {}
        for rule in lost:
            for other in found:
                if other.id not in names.values() and self._content(rule, self.renamed) == self._content(other, {}):
                    names[rule.id] = other.id
                    break
        return names

    @staticmethod
    def _content(rule: Rule, renamed: Mapping[str, str]) -> object:
        then = renamed.get(str(rule.then), rule.then)
        return meaning_of(rule.condition, bound=renamed), then, rule.since, rule.until

    def _order(self, before: list[str], after: list[str]) -> Iterator[Change]:
        """Yield the rules that stand elsewhere among those of both editions."""
        effect: Effect = "result" if self.new.strategy in ("first", "collect") else "wording"
        old, new = [one for one in before if one in after], [one for one in after if one in before]
        blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        kept = {name for block in blocks for name in new[block.b : block.b + block.size]}
        for name in new:
            if name not in kept:
                yield change("rule_order", name, effect, _after(old, name), _after(new, name))


def _after(names: list[str], name: str) -> str:
    position = names.index(name)
    return f"#{position + 1}" if position == 0 else f"#{position + 1} ({names[position - 1]} < {name})"


def _summary(rule: Rule) -> str:
    """Return a rule in one line: its condition, its result and when it is in force."""
    dates = f" [{period(rule.since, rule.until)}]" if rule.since or rule.until else ""
    return f"{' '.join(rule.text.split())} → {rule.then}{dates}"
