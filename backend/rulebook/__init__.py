"""Rules with the force of law: read from YAML, checked to be total, compiled, and explained when used."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.rulebook.language.compile import NEVER
from backend.rulebook.language.explain import Step, explain
from backend.rulebook.modules.module import Module, Rule, read_module
from backend.rulebook.modules.review import refuse_strangers, review
from backend.rulebook.source import Fault, InvalidRulebook, Place, SourceFile
from backend.rulebook.verdict import Decider, Verdict

__all__ = ["InvalidRulebook", "Rulebook", "SourceFile", "Verdict", "load_rulebook", "make_rulebook", "read_rules"]

CASES = ".cases"


class Rulebook:
    """Checked rule modules. It never changes; a new edition is another rulebook with another `digest`.

    What it has in common with a `former` one, compiled or not, is taken over from that.
    """

    def __init__(
        self,
        modules: Mapping[str, Module],
        texts: Mapping[str, str],
        digest: str,
        time_zone: ZoneInfo,
        former: "Rulebook | None" = None,
    ) -> None:
        self.digest = digest
        self.time_zone = time_zone
        self.modules = dict(modules)
        self._texts = dict(texts)
        known: Mapping[str, Decider] = former._deciders if former is not None else {}  # noqa: SLF001  one of its own kind
        self._deciders: dict[str, Decider] = {
            name: known[name] if name in known and known[name].module is module else Decider(module, time_zone)
            for name, module in self.modules.items()
        }

    def module_of(self, name: str, text: str) -> Module | None:
        """Give the module of this name if that is just its text, or None."""
        return self.modules[name] if self._texts.get(name) == text else None

    def evaluate(self, module: str, facts: Struct, at: datetime, *, on: date | None = None) -> Verdict:
        """Decide on facts as of the instant `at`; with `on`, by the law as it stood on that day.

        Raises KeyError for a module that is not in this rulebook, and ValueError for an instant outside 1900 to 2149.
        """
        decider = self._deciders[module]
        law = decider.latest
        if on is not None or not law.begins <= at < law.ends:
            law = decider.law_at(at, on)
        decide = law.decide
        fired, soon = decide(facts, at)
        try:
            outcome = law.outcomes[fired]
        except KeyError:
            outcome = decider.outcome(law, fired)
        changes_at = None
        if soon is not NEVER or law is not decider.latest:
            changes_at = decider.change(facts, outcome, law, soon, fixed=on is not None)
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

    def onward(self, module: str, facts: Struct, at: datetime) -> Iterator[Verdict]:
        """Give the verdict at `at`, then each next one at the instant from which it holds, as long as there is one."""
        verdict = self.evaluate(module, facts, at)
        yield verdict
        while verdict.changes_at is not None:
            verdict = self.evaluate(module, facts, verdict.changes_at)
            yield verdict

    def explain(self, module: str, facts: Struct, at: datetime, *, on: date | None = None) -> list[tuple[Rule, Step]]:
        """Give every rule in force with its evaluated condition, step by step."""
        law = self._deciders[module].law_at(at, on)
        names = {"facts": facts, "now": at, **law.figures}
        return [(rule, explain(rule.text, rule.condition, names)) for rule in law.rules]

    def in_force(self, module: str, at: datetime, *, on: date | None = None) -> tuple[Rule, ...]:
        """Give the rules that count at the instant `at`, or by the law of the day `on`."""
        return self._deciders[module].law_at(at, on).rules

    def terms(self, module: str, at: datetime, *, on: date | None = None) -> Struct | None:
        """Give the terms of a module that are in force at the instant `at`, or on the day `on`; None where none are.

        Raises KeyError for a module that is not in this rulebook, and ValueError for an instant outside 1900 to 2149.
        """
        return self._deciders[module].law_at(at, on).terms

    def compile(self) -> None:
        """Compile all law, past and future, now rather than when it is first asked for."""
        for decider in self._deciders.values():
            decider.compile()


def load_rulebook(folder: Path, facts: Sequence[type[Struct]], time_zone: ZoneInfo) -> Rulebook:
    """Read every rule module below `folder`; `health_code/colour.yaml` is the module health_code.colour.

    `facts` are the Structs that modules may name. Dated rules change at midnight in `time_zone`. Raises
    InvalidRulebook, with every fault of every file, and then nothing of the rulebook is taken.
    """
    return make_rulebook(read_rules(folder), facts, time_zone)


def read_rules(folder: Path) -> dict[str, SourceFile]:
    """Read the files of the rule modules below `folder`, by module. Raises InvalidRulebook where there are none."""
    files = [read_file(path) for path in _rule_files(folder)]
    return {module_name(folder, file): file for file in files}


def make_rulebook(
    files: Mapping[str, SourceFile],
    facts: Sequence[type[Struct]],
    time_zone: ZoneInfo,
    former: Rulebook | None = None,
) -> Rulebook:
    """Check the files of rule modules, and make them a rulebook; see load_rulebook. Raises InvalidRulebook.

    A module whose text is that of a `former` rulebook, made with the same facts and time zone, is not read again.
    """
    structs = {struct.__name__: struct for struct in facts}
    modules: dict[str, Module] = {}
    digest = hashlib.sha256()
    for name, file in files.items():
        module = former.module_of(name, file.text) if former is not None and not file.faults else None
        if module is None and not file.faults:
            module = read_module(file, name, structs)
            if module is not None:
                review(module, file)
        if module is not None:
            modules[name] = module
            digest.update(f"{name}\0{file.text}\0".encode())
    for module in modules.values():
        refuse_strangers(module, files, files[module.name])
    faults = [fault for file in files.values() for fault in file.faults]
    if faults:
        raise InvalidRulebook(faults)
    texts = {name: file.text for name, file in files.items()}
    return Rulebook(modules, texts, digest.hexdigest(), time_zone, former)


def module_name(folder: Path, file: SourceFile) -> str:
    """Give the name of the module that a file holds, from its place below the folder of rules."""
    return ".".join(Path(file.path).relative_to(folder).with_suffix("").parts).removesuffix(CASES)


def read_file(path: Path) -> SourceFile:
    """Read an author's file; what cannot be read is noted as its fault."""
    file = SourceFile(str(path), "", [])
    try:
        file.text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        file.fault(Place(1, 1), f"not UTF-8 text: byte {error.start} is no character", "save the file as UTF-8")
    except OSError as error:
        file.fault(Place(1, 1), f"cannot be read: {error.strerror}")
    if path.suffix != ".yaml":
        file.fault(Place(1, 1), f"the file ends in {path.suffix!r}", "rename it to end in .yaml")
    return file


def _rule_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidRulebook([Fault(str(folder), Place(1, 1), "there is no such folder of rules")])
    found = sorted(path for path in folder.rglob("*.y*ml") if not path.stem.endswith(CASES))
    if not found:
        raise InvalidRulebook([Fault(str(folder), Place(1, 1), "the folder holds no rule module (*.yaml)")])
    return found
