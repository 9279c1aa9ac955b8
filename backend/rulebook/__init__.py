"""Rules with the force of law: read from YAML, checked, compiled, evaluated and explained.

Read `modules.module`, then `language.checker`, then `verdict`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.compiler import NEVER
from backend.rulebook.language.explainer import Step, explain
from backend.rulebook.language.tree import Node
from backend.rulebook.modules.consistency import check_consistency, check_references, check_shadowed_together
from backend.rulebook.modules.law import check_articles
from backend.rulebook.modules.lint import lint
from backend.rulebook.modules.meaning import check_meaning
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.modules.module_reader import read_module
from backend.rulebook.modules.silence import apply_silences
from backend.rulebook.modules.terms_check import check_terms
from backend.rulebook.source import Fault, InvalidRulebook, Location, SourceFile
from backend.rulebook.verdict import Law, ModuleEvaluator, Outcome, Verdict

__all__ = ["InvalidRulebook", "Rulebook", "SourceFile", "Verdict", "load_rulebook", "make_rulebook", "read_rules"]

CASES = ".cases"
CLAIMS = ".claims"
PERSONAS = "personas"


class Rulebook:
    """Checked rule modules. Immutable: a new edition is another rulebook with another `digest`.

    It reuses the modules that it shares with a `previous` rulebook, compiled or not.
    """

    def __init__(
        self,
        modules: Mapping[str, Module],
        texts: Mapping[str, str],
        digest: str,
        time_zone: ZoneInfo,
        previous: "Rulebook | None" = None,
    ) -> None:
        self.digest = digest
        self.time_zone = time_zone
        self.modules = dict(modules)
        self.texts = dict(texts)
        reusable: Mapping[str, ModuleEvaluator] = previous._evaluators if previous is not None else {}  # noqa: SLF001  the same class
        self._evaluators: dict[str, ModuleEvaluator] = {
            name: reusable[name]
            if name in reusable and reusable[name].module is module
            else ModuleEvaluator(module, time_zone)
            for name, module in self.modules.items()
        }

    def reusable_module(self, name: str, text: str) -> Module | None:
        """Return the module of this name if its text is the same, or None."""
        return self.modules[name] if self.texts.get(name) == text else None

    def evaluate(self, module: str, facts: Struct, at: datetime, *, on: date | None = None) -> Verdict:
        """Return the verdict on facts at the instant `at`; with `on`, by the law of that day.

        Raises KeyError for a module that is not in this rulebook, and ValueError for an instant outside 1900 to 2149.
        """
        evaluator = self._evaluators[module]
        law = evaluator.latest
        if on is not None or not law.begins <= at < law.ends:
            law = evaluator.law_at(at, on)
        decide = law.decide
        fired, candidate = decide(facts, at)
        try:
            outcome = law.outcomes[fired]
        except KeyError:
            outcome = evaluator.outcome(law, fired)
        changes_at = None
        if candidate is not NEVER or law is not evaluator.latest:
            changes_at = evaluator.next_change(facts, outcome, law, candidate, fixed=on is not None)
        return Verdict(
            module,
            outcome.result,
            outcome.rule,
            outcome.because,
            outcome.remedy,
            outcome.fired,
            at,
            changes_at,
            self.digest,
        )

    def evaluator(self, module: str) -> ModuleEvaluator:
        """Return the evaluator of a module, with the law of each period. Raises KeyError for an unknown module."""
        return self._evaluators[module]

    def timeline(self, module: str, facts: Struct, at: datetime) -> Iterator[Verdict]:
        """Yield the verdict at `at`, then each later verdict at the instant at which it begins, for unchanged facts."""
        verdict = self.evaluate(module, facts, at)
        yield verdict
        while verdict.changes_at is not None:
            verdict = self.evaluate(module, facts, verdict.changes_at)
            yield verdict

    def explain(
        self,
        module: str,
        facts: Struct,
        at: datetime,
        *,
        on: date | None = None,
        observe: Callable[[Rule, Node, Step], None] | None = None,
    ) -> list[tuple[Rule, Step]]:
        """Return every rule in force with its evaluated condition, step by step.

        `observe` is called with each evaluated node of each rule, and its step.
        """
        law = self._evaluators[module].law_at(at, on)
        names = {"facts": facts, "now": at, **law.parameter_values}
        return [
            (rule, explain(rule.text, rule.condition, names, observe and partial(observe, rule))) for rule in law.rules
        ]

    def in_force(self, module: str, at: datetime, *, on: date | None = None) -> tuple[Rule, ...]:
        """Return the rules in force at the instant `at`, or on the day `on`."""
        return self._evaluators[module].law_at(at, on).rules

    def terms(self, module: str, at: datetime, *, on: date | None = None) -> Struct | None:
        """Return the terms of a module in force at the instant `at`, or on the day `on`; None if there are none.

        Raises KeyError for a module that is not in this rulebook, and ValueError for an instant outside 1900 to 2149.
        """
        return self._evaluators[module].law_at(at, on).terms

    def laws(self, module: str) -> tuple[Law, ...]:
        """Return the laws of a module in the order of time. Raises KeyError for an unknown module."""
        return tuple(self._evaluators[module].laws)

    def law(self, module: str, at: datetime) -> Law:
        """Return the law of a module at an instant. Raises KeyError or ValueError, as `evaluate` does."""
        return self._evaluators[module].law_at(at, None)

    def outcome(self, module: str, law: Law, fired: int) -> Outcome:
        """Return what a law of a module decides if the rules of these bits fire."""
        return law.outcomes.get(fired) or self._evaluators[module].outcome(law, fired)

    def compile(self) -> None:
        """Compile the law of all periods now rather than at its first use."""
        for evaluator in self._evaluators.values():
            evaluator.compile()


def load_rulebook(
    folder: Path, facts: Sequence[type[Struct]], time_zone: ZoneInfo, *, strict: bool = False
) -> Rulebook:
    """Load every rule module below `folder`; `health_code/colour.yaml` is the module health_code.colour.

    `facts` are the Structs that modules may name. Dated rules change at midnight in `time_zone`. Authors' commands are
    `strict`: the conventions of modules.lint must hold as well. Raises InvalidRulebook with every fault of every file.
    """
    return make_rulebook(read_rules(folder), facts, time_zone, strict=strict)


def read_rules(folder: Path) -> dict[str, SourceFile]:
    """Read the files of the rule modules below `folder`, by module. Raises InvalidRulebook if there are none."""
    files = [read_file(path) for path in _rule_files(folder)]
    return {module_name(folder, file): file for file in files}


def make_rulebook(
    files: Mapping[str, SourceFile],
    facts: Sequence[type[Struct]],
    time_zone: ZoneInfo,
    previous: Rulebook | None = None,
    *,
    strict: bool = False,
) -> Rulebook:
    """Check the files of rule modules and return their rulebook; see load_rulebook. Raises InvalidRulebook.

    A module with the same text as in a `previous` rulebook of the same facts and time zone is not read again.
    """
    structs = {struct.__name__: struct for struct in facts}
    modules: dict[str, Module] = {}
    digest = hashlib.sha256()
    for name, file in files.items():
        module = previous.reusable_module(name, file.text) if previous is not None and not file.faults else None
        if module is None and not file.faults:
            module = check_module(file, name, structs, time_zone, strict=strict)
        if module is not None:
            modules[name] = module
            digest.update(f"{name}\0{file.text}\0".encode())
    for module in modules.values():
        check_references(module, files, files[module.name])
    faults = [fault for file in files.values() for fault in file.faults]
    if faults:
        raise InvalidRulebook(faults)
    texts = {name: file.text for name, file in files.items()}
    return Rulebook(modules, texts, digest.hexdigest(), time_zone, previous)


def check_module(
    file: SourceFile, name: str, structs: Mapping[str, type[Struct]], time_zone: ZoneInfo, *, strict: bool = False
) -> Module | None:
    """Read and check one module, without its references to others; None and faults of the file if it is no module.

    A module that was read can have faults as well.
    """
    module = read_module(file, name, structs, time_zone)
    if module is not None:
        check_consistency(module, file)
        if strict:
            lint(module, file)
            check_shadowed_together(module, file)
            check_meaning(module, file)
            check_articles(module, file)
            check_terms(module, file)
            apply_silences(file)
    return module


def module_name(folder: Path, file: SourceFile) -> str:
    """Return the name of the module in a file, from its path below the folder of rules."""
    return ".".join(Path(file.path).relative_to(folder).with_suffix("").parts).removesuffix(CASES).removesuffix(CLAIMS)


def read_file(path: Path) -> SourceFile:
    """Read an author's file; if it cannot be read, the result has a fault."""
    file = SourceFile(str(path), "", [])
    try:
        content = path.read_bytes()
        file.text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        begin = error.object[: error.start]
        location = Location(begin.count(b"\n") + 1, len(begin.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1)
        found = _encoding(error.object)
        message = Text(
            zh=f"文件以 {found} 编码保存，不是 UTF-8" if found else f"不是 UTF-8 文本：第 {error.start} 个字节无效",
            en=f"the file is saved as {found}, not UTF-8"
            if found
            else f"not UTF-8 text: byte {error.start} is invalid",
        )
        file.fault(location, message, Text(zh="请另存为 UTF-8 编码", en="save the file as UTF-8"), "R001")
    except OSError as error:
        message = Text(zh=f"无法读取：{error.strerror}", en=f"cannot be read: {error.strerror}")
        file.fault(
            Location(1, 1),
            message,
            Text(zh="请检查文件是否存在、能否打开", en="look whether the file exists and can be opened"),
            "R001",
        )
    if path.suffix != ".yaml":
        message = Text(zh=f"文件名以“{path.suffix}”结尾", en=f"the file ends in {path.suffix!r}")
        advice = Text(zh="请改名，以 .yaml 结尾", en="rename it to end in .yaml")
        file.fault(Location(1, 1), message, advice, "R002")
    return file


def _encoding(content: bytes) -> str | None:
    """Return the encoding of a file that is not UTF-8, if it is one that Chinese editors use."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return None
    return "GBK" if any("\u4e00" <= character <= "\u9fff" for character in text) else None


def _rule_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        message = Text(zh="规则文件夹不存在", en="this folder of rules does not exist")
        advice = Text(
            zh="请在代码所在的文件夹中运行命令，或将 CHENGMA_RULES 设为规则文件夹",
            en="run the command in the folder of the checkout, or set CHENGMA_RULES to the folder of the rules",
        )
        raise InvalidRulebook([Fault(str(folder), Location(1, 1), message, advice, code="R001")])
    texts = (path for path in folder.rglob("*.y*ml") if path.stem != PERSONAS)
    found = sorted(path for path in texts if not path.stem.endswith((CASES, CLAIMS)))
    if not found:
        message = Text(zh="文件夹中没有规则模块（*.yaml）", en="the folder contains no rule module (*.yaml)")
        raise InvalidRulebook([Fault(str(folder), Location(1, 1), message, code="R001")])
    return found
