"""The page of the checks: each code, what it finds, why it matters, and an example with and without the fault."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

from backend.cli.rules.checked_examples import faults_of, file_name
from backend.i18n import Text
from backend.rulebook.checks import all_checks
from backend.rulebook.checks.example import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backend.rulebook.checks import Check

_TITLE = Text(zh="检查一览", en="The checks of rule files")
_INTRODUCTION = Text(
    zh="""\
`chengma rules check` 和 `test` 指出的每处错误都有编号，如 R056。
本页说明每个编号查什么、为什么，并各举一个错误和正确的例子。
`chengma rules checks R056` 在终端显示同样的内容。English: [The checks of rule files](checks.md).

标有“可静默”的检查只关乎含义和写法：确有理由时，在所指的行或它上面一行写
`# silence R056: 理由`，检查就不再指出。其他错误必须更正。

例子都改自下面这个模块 `subsidy/old_age.yaml`，“……”表示省略的行：""",
    en="""\
Every fault that `chengma rules check` and `test` print has a code, such as R056. This page says what each code finds
and why it matters, with a bad and a good example. `chengma rules checks R056` prints the same in a terminal.
中文：[检查一览](checks.zh.md)。

Checks marked "can be silenced" are about sense and style alone. If you have a reason, write
`# silence R056: the reason` in the line that it names or above it, and the check leaves it alone. Every other fault
must be corrected.

The examples change this module, `subsidy/old_age.yaml`; "..." stands for lines that are left out:""",
)
_SILENCED = Text(zh="可静默", en="can be silenced")
_HEAD = Text(zh="| 编号 | 检查内容 | |", en="| Code | What it finds | |")
_BAD = Text(zh="错误（{file}）：", en="Bad ({file}):")
_GOOD = Text(zh="正确：", en="Good:")
_LEFT_OUT = Text(zh="……", en="...")


def page(language: Literal["zh", "en"]) -> str:
    """Return docs/rules/checks.md, or checks.zh.md. It needs the solver, for what the examples of proofs print."""
    checks = all_checks().values()
    parts = [
        f"# {_TITLE.in_language(language)}\n\n{_INTRODUCTION.in_language(language)}\n\n```yaml\n{EXAMPLE}```\n",
        "\n".join([_HEAD.in_language(language), "| --- | --- | --- |", *(_row(check, language) for check in checks)]),
        *(f"\n## {check.code}\n\n{entry(check, language)}" for check in checks),
    ]
    return "\n".join(parts) + "\n"


def entry(check: Check, language: Literal["zh", "en"]) -> str:
    """Return what a check finds and why, with its examples and what is printed of the bad one, as Markdown."""
    stop = "。" if language == "zh" else "."
    silenced = f"（{_SILENCED.zh}）" if language == "zh" else f" ({_SILENCED.en})"
    title = f"{check.title.in_language(language)}{silenced if check.silenced else ''}{stop}"
    bad, good = _excerpts(check, _LEFT_OUT.in_language(language))
    kind = "json" if check.file == "certlogic" else "yaml"
    printed = "\n".join(fault.in_language(language) for fault in faults_of(check, bad=True))
    return (
        f"**{title}** {check.why.in_language(language)}\n\n"
        f"{_BAD.in_language(language).format(file=file_name(check))}\n\n```{kind}\n{bad}\n```\n\n```\n{printed}\n```\n\n"
        f"{_GOOD.in_language(language)}\n\n```{kind}\n{good}\n```"
    )


def _row(check: Check, language: Literal["zh", "en"]) -> str:
    silenced = _SILENCED.in_language(language) if check.silenced else ""
    return f"| [{check.code}](#{check.code.lower()}) | {check.title.in_language(language)} | {silenced} |"


def _excerpts(check: Check, left_out: str) -> tuple[str, str]:
    """Return the lines of both examples that differ, each with its neighbours; the first line if none does."""
    bad, good = check.bad.splitlines(), check.good.splitlines()
    bad_lines, good_lines = {0} if bad == good else set[int](), {0} if bad == good else set[int]()
    for kind, begin, end, other_begin, other_end in SequenceMatcher(None, bad, good, autojunk=False).get_opcodes():
        if kind != "equal":
            bad_lines |= set(range(begin - 1, end + 1))
            good_lines |= set(range(other_begin - 1, other_end + 1))
    return "\n".join(_chosen(bad, bad_lines, left_out)), "\n".join(_chosen(good, good_lines, left_out))


def _chosen(lines: list[str], numbers: set[int], left_out: str) -> Iterator[str]:
    last = None
    for number in sorted(numbers & set(range(len(lines)))):
        if last is not None and number > last + 1:
            yield left_out
        yield lines[number]
        last = number
