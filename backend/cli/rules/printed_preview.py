"""The report of a preview as authors and approvers read it in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from backend.i18n import Text, date_text, yuan
from backend.rulebook.preview.districts import OTHER_DISTRICTS, UNKNOWN_DISTRICT
from backend.rulebook.preview.groups import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from backend.rulebook.preview.districts import DistrictCount
    from backend.rulebook.preview.report import DayCount, ModulePreview, PreviewReport, Sample

WIDTH = 110
"""The width of lines that go into a file or another program."""

MOST_ROWS = 20
MOST_RESULTS = 12
"""A matrix with more results of one edition is shown by the largest changes alone."""

COUNTED = Text(
    zh="{at}：共{people}人，{changed}人的结果会变：{worse}人变差，{better}人变好。没有改动任何人的记录。",
    en="{at}: of {people} people, {changed} would have another result: {worse} worse, {better} better."
    " Nobody was changed.",
)
AGAIN = Text(
    zh="其中{again}人曾经有过同样差或更差的结果，已经恢复，会再次变差。",
    en="{again} of them were as badly off before, came out of it, and would be worse off again.",
)
IS_NEW = Text(zh="新增的模块，与没有该模块时对照。", en="The module is new: it is compared with nothing.")
IS_REMOVED = Text(zh="草案中没有该模块，按不再给予统计。", en="The draft does not have the module: it gives nothing.")
UNANSWERED = Text(
    zh="{people}人的结果还取决于没有存档的事实（{names}），两版均按对本人最有利的答复统计，即上限。",
    en="For {people} people the result depends on facts that no record has ({names}). Under both editions they are"
    " counted with the answers that give most, so the figures are upper limits.",
)
SUMS = Text(
    zh="结果合计：现行{old}元，草案{new}元。", en="sum of the results: {old} yuan now, {new} yuan under the draft"
)
SUMS_AT_MOST = Text(
    zh="结果合计（每人一次）：现行至多{old}元，草案至多{new}元。",
    en="sum of the results, once for each person: at most {old} yuan now, at most {new} yuan under the draft",
)
BUDGET = Text(
    zh="草案规定的全年预算：{amount}元。", en="budget of a calendar year under the draft's terms: {amount} yuan"
)
OVER_BUDGET = Text(
    zh="每人申领一次即超过预算，最多超出{amount}元；预算用完后，申领人须等待。",
    en="If each person claims once, the budget is exceeded by up to {amount} yuan: people wait when it is used up.",
)
AMOUNT = Text(zh="{amount}元", en="{amount} yuan")
BY_OBJECTS = Text(zh="逐人判断。", en="People were decided one by one.")
MATRIX = Text(zh="现行结果（行）与草案结果（列）", en="result now (rows) and under the draft (columns)")
CHANGES = Text(zh="结果变化", en="changes of results")
RULES = Text(zh="按规则", en="by rule")
NOW, DRAFT, PEOPLE = Text(zh="现行", en="now"), Text(zh="草案", en="draft"), Text(zh="人数", en="people")
GROUPS = Text(zh="按{title}", en="by {title}")
WORSE, BETTER = Text(zh="变差", en="worse"), Text(zh="变好", en="better")
SUM = Text(zh="合计（元）", en="sum (yuan)")
GROUP_HEAD = (
    Text(zh="人群", en="group"),
    PEOPLE,
    WORSE,
    BETTER,
    Text(zh="再次变差", en="worse again"),
)
DISTRICTS = Text(zh="按首次登记户口的区县（身份证号码前六位）", en="by district of first registration")
DISTRICT = Text(zh="区县", en="district")
NOT_KNOWN, ALL_OTHERS = Text(zh="不详", en="not known"), Text(zh="其余", en="all others")
HIDDEN = "-"
WHY_HIDDEN = Text(
    zh="“-”表示1至4人，或可据以推算出此类人数，为保护个人信息不显示。",
    en="- stands for 1 to 4 people, or for a number from which these follow: it could point to a person.",
)
DAYS = Text(
    zh="今后十四天不另有事实时的人数（现行 → 草案）", en="the next 14 days, if nothing is reported (now → draft)"
)
LATER = Text(
    zh="{at}有以后生效的规定开始施行，届时{people}人的结果不同。",
    en="From {at}, when a law dated ahead begins, {people} people would have another result.",
)
LATER_BOTH_WAYS = Text(
    zh="{at}有以后生效的规定开始施行，届时{people}人的结果不同：{worse}人变差，{better}人变好。",
    en="From {at}, when a law dated ahead begins, {people} people would have another result: {worse} worse,"
    " {better} better.",
)
LATER_SUMS = Text(
    zh="届时结果合计（每人一次）：现行{old}元，草案{new}元。",
    en="Sum of the results then, once for each person: {old} yuan now, {new} yuan under the draft.",
)
LATER_SUMS_AT_MOST = Text(
    zh="届时结果合计（每人一次）：现行至多{old}元，草案至多{new}元。",
    en="Sum of the results then, once for each person: at most {old} yuan now, at most {new} yuan under the draft.",
)
SAMPLES = Text(zh="样例（编号是随机的，不含姓名）", en="samples (ids are random and name nobody)")
UNTIL = Text(zh="至{at}", en="until {at}")
ONCE_MORE = Text(zh="再次变差", en="worse off again")
NOT_PREVIEWED = Text(zh="{module}：{reason}", en="{module}: {reason}")
OTHERS = Text(zh="……另有{number}行", en="... and {number} more rows")
DAY = Text(zh="日期", en="day")


def print_report(report: PreviewReport, zone: ZoneInfo, language: str) -> None:
    """Print a report in a language, in the city's time zone."""
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    printer = _Printer(console, zone, language)
    for module in report.modules:
        printer.module(module, report)
    for refused in report.not_previewed:
        printer.line(NOT_PREVIEWED.format(module=refused.module, reason=refused.reason))


class _Printer:
    def __init__(self, console: Console, zone: ZoneInfo, language: str) -> None:
        self.console = console
        self.zone = zone
        self.language = language

    def text(self, text: Text) -> str:
        return text.in_language(self.language)

    def line(self, text: Text) -> None:
        self.console.print(self.text(text), markup=False)

    def table(self, title: Text, head: Iterable[str], rows: Sequence[Sequence[str]], words: int = 1) -> None:
        """Print a table with right-aligned numbers after the first columns, which are `words`."""
        table = Table(title=self.text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
        for place, name in enumerate(head):
            table.add_column(name, justify="left" if place < words else "right", no_wrap=True)
        for row in rows[:MOST_ROWS]:
            table.add_row(*row)
        self.console.print()
        self.console.print(table)
        if len(rows) > MOST_ROWS:
            self.line(OTHERS.format(number=str(len(rows) - MOST_ROWS)))

    def module(self, module: ModulePreview, report: PreviewReport) -> None:
        self.console.print(f"{self.text(module.title)} {module.module}", style="bold", markup=False)
        at = date_text(report.at, self.zone, with_year=True)
        numbers = {name: f"{getattr(module, name):,}" for name in ("people", "changed", "worse", "better", "again")}
        self.line(COUNTED.format(at=at, **numbers))
        if module.again:
            self.line(AGAIN.format(again=numbers["again"]))
        self._answers_and_sums(module)
        if module.by == "objects":
            self.line(BY_OBJECTS)
        self._later(module)
        self._matrix(module)
        if module.rules:
            rows = [
                (
                    f"{one.old_rule} ({self.result(module, one.old)})",
                    f"{one.new_rule} ({self.result(module, one.new)})",
                    f"{one.people:,}",
                )
                for one in module.rules
            ]
            self.table(RULES, map(self.text, (NOW, DRAFT, PEOPLE)), rows, 2)
        if [group.group for group in module.groups] != [UNKNOWN]:
            self._groups(module)
        if module.districts:
            self._districts(module.districts)
        self._days(module)
        self._samples(module)
        self.console.print()

    def _answers_and_sums(self, module: ModulePreview) -> None:
        if module.is_new or module.is_removed:
            self.line(IS_NEW if module.is_new else IS_REMOVED)
        if module.unanswered:
            names = ", ".join(one.name for one in module.open_facts)
            self.line(UNANSWERED.format(people=f"{module.unanswered:,}", names=names))
        if module.old_sum is not None and module.new_sum is not None:
            amounts = {"old": yuan(module.old_sum), "new": yuan(module.new_sum)}
            self.line((SUMS_AT_MOST if module.unanswered else SUMS).format(**amounts))
        if module.budget_fen is not None:
            self.line(BUDGET.format(amount=yuan(module.budget_fen)))
            if module.new_sum is not None and module.new_sum > module.budget_fen:
                self.line(OVER_BUDGET.format(amount=yuan(module.new_sum - module.budget_fen)))

    def _later(self, module: ModulePreview) -> None:
        for later in module.later:
            begins, people = date_text(later.begins_at, self.zone, with_year=True), f"{later.people:,}"
            if later.worse is None or later.better is None or not later.people:
                self.line(LATER.format(at=begins, people=people))
                continue
            ways = {"worse": f"{later.worse:,}", "better": f"{later.better:,}"}
            self.line(LATER_BOTH_WAYS.format(at=begins, people=people, **ways))
            if later.old_sum is not None and later.new_sum is not None:
                amounts = {"old": yuan(later.old_sum), "new": yuan(later.new_sum)}
                self.line((LATER_SUMS_AT_MOST if module.unanswered else LATER_SUMS).format(**amounts))

    def _matrix(self, module: ModulePreview) -> None:
        old = list(dict.fromkeys(cell.old for cell in module.matrix))
        new = list(dict.fromkeys(cell.new for cell in sorted(module.matrix, key=lambda cell: _place(cell.new, old))))
        if max(len(old), len(new)) > MOST_RESULTS:
            changed = sorted((cell for cell in module.matrix if cell.old != cell.new), key=lambda cell: -cell.people)
            rows = [
                (self.result(module, cell.old), self.result(module, cell.new), f"{cell.people:,}") for cell in changed
            ]
            self.table(CHANGES, map(self.text, (NOW, DRAFT, PEOPLE)), rows, 2)
            return
        counts = {(cell.old, cell.new): cell.people for cell in module.matrix}
        rows = [
            (
                self.result(module, result),
                *(f"{counts[result, other]:,}" if (result, other) in counts else "·" for other in new),
            )
            for result in old
        ]
        self.table(MATRIX, ["", *(self.result(module, result) for result in new)], rows)

    def result(self, module: ModulePreview, result: str | int) -> str:
        """Return a result as people read it: an amount in yuan, or a word or another number as it is."""
        return self.text(AMOUNT.format(amount=yuan(int(result)))) if module.in_yuan else str(result)

    def _groups(self, module: ModulePreview) -> None:
        rows = [
            (one.group, f"{one.people:,}", f"{one.worse:,}", f"{one.better:,}", f"{one.again:,}")
            for one in module.groups
        ]
        title = GROUPS.format(title=module.group_title)
        self.table(title, map(self.text, GROUP_HEAD), rows)

    def _districts(self, districts: Sequence[DistrictCount]) -> None:
        words = {UNKNOWN_DISTRICT: self.text(NOT_KNOWN), OTHER_DISTRICTS: self.text(ALL_OTHERS)}
        rows: list[list[str]] = []
        for one in districts:
            counts = (one.people, one.worse, one.better, one.again)
            name = words.get(one.district, one.name)
            rows.append([name, *(HIDDEN if count is None else f"{count:,}" for count in counts)])
        self.table(DISTRICTS, map(self.text, (DISTRICT, *GROUP_HEAD[1:])), rows)
        if any(HIDDEN in row for row in rows):
            self.line(WHY_HIDDEN)

    def _days(self, module: ModulePreview) -> None:
        days: Sequence[DayCount] = module.days
        results = list(dict.fromkeys(result for day in days for counts in (day.old, day.new) for result in counts))
        if len(results) > MOST_RESULTS:
            results = []
        if module.in_yuan:
            results.sort(key=int)
        head = [self.result(module, result) for result in results]
        columns = [[_change(day.old.get(one, 0), day.new.get(one, 0)) for day in days] for one in results]
        if any(day.worse or day.better for day in days):
            head += map(self.text, (WORSE, BETTER))
            columns += [[f"{day.worse or 0:,}" for day in days], [f"{day.better or 0:,}" for day in days]]
            if module.in_yuan:
                head.append(self.text(SUM))
                columns.append([" → ".join(dict.fromkeys(map(_sum_of, (day.old, day.new)))) for day in days])
        if columns:
            rows = [
                (f"{day.at.astimezone(self.zone):%m-%d}", *(column[place] for column in columns))
                for place, day in enumerate(days)
            ]
            self.table(DAYS, [self.text(DAY), *head], rows)

    def _samples(self, module: ModulePreview) -> None:
        samples: Sequence[Sample] = module.samples
        if not samples:
            return
        self.console.print()
        self.console.print(self.text(SAMPLES), style="bold", markup=False)
        for sample in samples:
            note = f"  {self.text(ONCE_MORE)}" if sample.again else ""
            group = "" if sample.group == UNKNOWN else f"  {sample.group}"
            self.console.print(f"{sample.id}{group}{note}", markup=False)
            for name, decided in ((NOW, sample.old), (DRAFT, sample.new)):
                until = decided.changes_at and self.text(UNTIL.format(at=date_text(decided.changes_at, self.zone)))
                ends = f" ({until})" if until else ""
                why = f"{self.result(module, decided.result)} {decided.rule}{ends}: {self.text(decided.because)}"
                self.console.print(f"  {self.text(name)} {why}", markup=False)


def _place(result: str | int, order: Sequence[str | int]) -> tuple[int, str]:
    if isinstance(result, int):
        return result, ""
    return (order.index(result) if result in order else len(order)), str(result)


def _sum_of(counts: Mapping[str, int]) -> str:
    return yuan(sum(int(result) * people for result, people in counts.items()))


def _change(old: int, new: int) -> str:
    return f"{old:,}" if old == new else f"{old:,} → {new:,}"
