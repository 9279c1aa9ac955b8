"""The rules of a folder while authors edit them: only what changed is judged again.

`chengma rules check --watch`, `test --watch` and the language server use it. It judges by the same functions as `check`
and `test`, and keeps the last valid edition of each module, so that a half-written file still has one.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.rulebook import CASES, CLAIMS, PERSONAS, Rulebook, check_module, module_name, read_file
from backend.rulebook.modules.case_reader import Case, read_cases
from backend.rulebook.modules.cases import (
    Personas,
    failures,
    report_missing_cases,
    report_missing_module,
    run_module,
)
from backend.rulebook.modules.consistency import check_references
from backend.rulebook.modules.module import Module
from backend.rulebook.needs import RuleModule, check_needs, facts_of
from backend.rulebook.prover.standing import read_claim_files
from backend.rulebook.source import Fault, InvalidRulebook, SourceFile


class Judgement(Struct, frozen=True):
    """The faults of each file that has some, by path; and what was judged."""

    faults: Mapping[str, tuple[Fault, ...]]
    modules: int
    rules: int
    cases: int
    digest: str
    judged: tuple[str, ...]
    """The files that changed since the last judgement, or depend on one that did."""


class CaseCount(Struct, frozen=True):
    """How many cases a rule fires in, and which of them fail."""

    cases: int
    failed: tuple[str, ...]


@dataclass(frozen=True)
class _Checked:
    text: str
    module: Module | None
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class _Tested:
    module: Module
    read: tuple[str, ...]
    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]


@dataclass
class Workspace:
    """The files of a folder of rules. An open file has the text of its editor instead of that of the disk."""

    folder: Path
    needed: Sequence[RuleModule]
    zone: ZoneInfo
    modules: dict[str, Module] = field(default_factory=dict[str, Module])
    """The last valid edition of each module."""
    _open: dict[Path, str] = field(default_factory=dict[Path, str])
    _disk: dict[Path, tuple[int, int, SourceFile]] = field(default_factory=dict[Path, tuple[int, int, SourceFile]])
    _checked: dict[str, _Checked] = field(default_factory=dict[str, _Checked])
    _tested: dict[str, _Tested] = field(default_factory=dict[str, _Tested])
    _claims: dict[str, tuple[str, Module | None, tuple[Fault, ...]]] = field(
        default_factory=dict[str, tuple[str, Module | None, tuple[Fault, ...]]]
    )
    _rulebook: Rulebook | None = None

    @property
    def structs(self) -> dict[str, type[Struct]]:
        """Return the Structs of facts that modules may name."""
        return {struct.__name__: struct for struct in facts_of(self.needed)}

    def open(self, path: Path, text: str) -> None:
        """Use this text of a file, whatever the disk has."""
        self._open[path] = text

    def close(self, path: Path) -> None:
        """Use the text of the disk again."""
        self._open.pop(path, None)

    def text(self, path: Path) -> str:
        """Return the text of a file; empty if there is none."""
        if path in self._open:
            return self._open[path]
        return self._read(path).text if path.exists() else ""

    def path_of(self, module: str, suffix: str = "") -> Path:
        """Return the path of a module, of its cases, or of its claims."""
        return self.folder.joinpath(*module.split(".")).with_suffix(f"{suffix}.yaml")

    def stamps(self) -> dict[Path, tuple[int, int]]:
        """Return when each file was written, and its size: what changes when a file does."""
        found: dict[Path, tuple[int, int]] = {}
        for path in self.folder.rglob("*.y*ml"):
            stat = path.stat()
            found[path] = stat.st_mtime_ns, stat.st_size
        return found

    def judge(self, *, cases: bool, run: bool = True) -> Judgement:
        """Check every module that changed, and with `cases` read and run the cases of each that is valid.

        Without `run`, cases that changed are only read; the results of the others are those of the last run.
        """
        files = {path: self._read(path) for path in sorted({*self.stamps(), *self._open})}
        rules = {module_name(self.folder, file): file for path, file in files.items() if _is_module(path)}
        judged = self._check(rules)
        whole = self._whole_rulebook(rules)
        faults: dict[str, list[Fault]] = {}
        for name, file in rules.items():
            faults.setdefault(file.path, []).extend((*file.faults, *self._checked[name].faults))
        for fault in self._rulebook_faults(rules, whole):
            faults.setdefault(fault.path, []).append(fault)
        for fault in self._claims_faults(files, whole):
            faults.setdefault(fault.path, []).append(fault)
        count = 0
        if cases:
            for fault in self._test(files, rules, whole, judged, run=run):
                faults.setdefault(fault.path, []).append(fault)
            count = sum(len(tested.cases) for tested in self._tested.values())
        return Judgement(
            {path: tuple(found) for path, found in faults.items() if found},
            len(whole.modules),
            sum(len(module.rules) for module in whole.modules.values()),
            count,
            whole.digest,
            tuple(judged),
        )

    def tested(self) -> tuple[Rulebook, dict[str, tuple[Case, ...]]]:
        """Return the rules and cases of the last judgement; the cases of an unchanged module are the same tuple."""
        assert self._rulebook is not None, "nothing was judged yet"
        return self._rulebook, {name: each.cases for name, each in self._tested.items()}

    def count_cases(self, module: str) -> dict[str, CaseCount]:
        """Run the cases of a module; return in how many each rule fires, and the names of those that fail."""
        tested, rulebook = self._tested.get(module), self._rulebook
        if tested is None or rulebook is None or module not in rulebook.modules:
            return {}
        names: dict[str, list[str]] = {rule.id: [] for rule in tested.module.rules}
        failed: dict[str, list[str]] = {rule.id: [] for rule in tested.module.rules}
        for case in tested.cases:
            verdict, differing = failures(rulebook, module, case)
            for rule in verdict.fired:
                names[rule].append(case.name)
                if differing:
                    failed[rule].append(case.name)
        return {rule: CaseCount(len(found), tuple(failed[rule])) for rule, found in names.items()}

    # ── reading ──

    def _read(self, path: Path) -> SourceFile:
        """Return a file without the faults of earlier judgements."""
        if path in self._open:
            return SourceFile(str(path), self._open[path], [])
        stat = path.stat()
        known = self._disk.get(path)
        if known is None or known[:2] != (stat.st_mtime_ns, stat.st_size):
            known = self._disk[path] = (stat.st_mtime_ns, stat.st_size, read_file(path))
        file = known[2]
        return SourceFile(file.path, file.text, list(file.faults))

    # ── checking ──

    def _check(self, rules: Mapping[str, SourceFile]) -> list[str]:
        """Check the modules whose text changed; return their paths."""
        judged: list[str] = []
        structs = self.structs
        for name, file in rules.items():
            known = self._checked.get(name)
            if known is not None and known.text == file.text:
                continue
            judged.append(file.path)
            own = SourceFile(file.path, file.text, [])
            module = check_module(own, name, structs, self.zone, strict=True) if not file.faults else None
            valid = module if not own.faults else None
            self._checked[name] = _Checked(file.text, valid, tuple(own.faults))
            if valid is not None:
                self.modules[name] = valid
        for name in self._checked.keys() - rules.keys():
            judged.append(str(self.path_of(name)))
            del self._checked[name]
            self.modules.pop(name, None)
        return judged

    def _whole_rulebook(self, rules: Mapping[str, SourceFile]) -> Rulebook:
        """Return the rulebook of the modules that are valid now."""
        valid = {name: module for name in rules if (module := self._checked[name].module) is not None}
        digest = hashlib.sha256()
        for name in valid:
            digest.update(f"{name}\0{rules[name].text}\0".encode())
        texts = {name: file.text for name, file in rules.items()}
        self._rulebook = Rulebook(valid, texts, digest.hexdigest(), self.zone, self._rulebook)
        return self._rulebook

    def _rulebook_faults(self, rules: Mapping[str, SourceFile], whole: Rulebook) -> Iterator[Fault]:
        """Yield the faults between modules, and between modules and services."""
        for name, module in whole.modules.items():
            file = SourceFile(rules[name].path, rules[name].text, [])
            check_references(module, rules, file)
            yield from file.faults
        invalid = {file.path for name, file in rules.items() if name not in whole.modules}
        try:
            check_needs(whole, self.needed, str(self.folder))
        except InvalidRulebook as error:
            yield from (fault for fault in error.faults if fault.path not in invalid)

    def _claims_faults(self, files: Mapping[Path, SourceFile], whole: Rulebook) -> Iterator[Fault]:
        """Yield the faults of the standing claims whose module is valid; claims are not proved here."""
        for path, file in files.items():
            name = module_name(self.folder, file)
            if not path.stem.endswith(CLAIMS) or name in self._invalid(whole):
                continue
            module = whole.modules.get(name)
            known = self._claims.get(name)
            if known is None or known[:2] != (file.text, module):
                with suppress(InvalidRulebook):  # its faults are those of the file
                    read_claim_files({name: file}, whole)
                known = self._claims[name] = file.text, module, tuple(file.faults)
            yield from known[2]

    def _invalid(self, whole: Rulebook) -> set[str]:
        return self._checked.keys() - whole.modules.keys()

    # ── testing ──

    def _test(
        self,
        files: Mapping[Path, SourceFile],
        rules: Mapping[str, SourceFile],
        whole: Rulebook,
        judged: list[str],
        *,
        run: bool,
    ) -> Iterator[Fault]:
        """Read and run the cases that changed, or whose module did; yield the faults of all cases."""
        shared = [file for path, file in files.items() if path.stem == PERSONAS]
        structs = [*self.structs.values(), *(module.facts for module in whole.modules.values())]
        personas = Personas(self.folder, structs, shared)
        for file in shared:
            yield from file.faults
        found = {module_name(self.folder, file): file for path, file in files.items() if _is_cases(path)}
        for name in self._tested.keys() - found.keys():
            del self._tested[name]
        for name in sorted(whole.modules.keys() - found.keys()):
            missing = SourceFile(rules[name].path, rules[name].text, [])
            report_missing_cases(missing)
            yield from missing.faults
        for name, file in found.items():
            module = whole.modules.get(name)
            if module is None:
                if name not in rules:
                    report_missing_module(file, name, rules)
                yield from file.faults
                continue
            read = file.text, *(each.text for each in shared)
            known = self._tested.get(name)
            is_read = known is not None and known.read == read
            if known is not None and is_read and known.module is module:
                yield from known.faults
            elif known is not None and is_read and not run:
                yield from (fault for fault in known.faults if fault.path == file.path)
            else:
                judged.append(file.path)
                cases = read_cases(file, module, personas.of(Path(file.path))) if not file.faults else []
                own = SourceFile(rules[name].path, rules[name].text, [])
                if run and not file.faults:
                    run_module(whole, module, cases, file, own)
                if run:
                    faults = (*file.faults, *own.faults)
                    self._tested[name] = _Tested(module, read, tuple(cases), faults)
                yield from (*file.faults, *own.faults)


def _is_cases(path: Path) -> bool:
    return path.stem.endswith(CASES)


def _is_module(path: Path) -> bool:
    return not path.stem.endswith((CASES, CLAIMS)) and path.stem != PERSONAS
