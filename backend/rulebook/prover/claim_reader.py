"""Reads the standing claims of a module from `colour.claims.yaml`; each mistake is a fault with its location."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from zoneinfo import ZoneInfo

from backend.i18n import Text
from backend.rulebook.language.checker import check
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.tree import Node, Variable, walk
from backend.rulebook.language.types import BOOL, TIMESTAMP, Type, fields_of
from backend.rulebook.modules.field_reader import FieldReader
from backend.rulebook.modules.module import Module
from backend.rulebook.modules.yaml_document import YamlEntry, YamlSequence, YamlValue, location_in, read_document
from backend.rulebook.prover.claims import (
    DIRECTIONS,
    Added,
    Always,
    Apart,
    Changed,
    Claim,
    Compared,
    Decided,
    Direction,
    Never,
    Path,
    Subject,
    best_is_high,
    verdict_struct,
)
from backend.rulebook.source import SourceFile, suggest

_SUBJECTS = ("against", *DIRECTIONS, "adding", "never_both", "always_decided", "always")
CLAIM_KEYS = ("id", "name", "from", "until", "if", *_SUBJECTS, "where", "unless", "never", "lists", "fails", "source")
CLAIMS_FILE_KEYS = ("module", "best", "claims")
OPTIONAL_CLAIMS_FILE_KEYS = ("best",)
REQUIRED_CLAIM_KEYS = ("id", "name", "source")
_NEVER = {
    "worse": "worse",
    "better": "better",
    "different": "different",
}


@dataclass(frozen=True)
class ClaimsFile:
    """The standing claims of a module, and whether results at the end of its scale are good."""

    best_is_high: bool
    claims: tuple[Claim, ...]


def read_claims(file: SourceFile, module: Module, zone: ZoneInfo) -> ClaimsFile | None:
    """Read the standing claims of a module, with the years of `age` in `zone`.

    Returns None and adds faults to the file if one is invalid.
    """
    root = read_document(file)
    if root is None or file.faults:
        return None
    found = _ClaimReader(file, module, zone).claims(root)
    return None if file.faults else found


@dataclass
class _ClaimReader(FieldReader):
    module: Module
    zone: ZoneInfo
    high: bool = False
    texts: list[tuple[Node, str]] = field(default_factory=list[tuple[Node, str]])

    def claims(self, root: YamlValue) -> ClaimsFile | None:
        what = Text(zh="主张文件", en="a file of claims")
        entries = self.entries(root, CLAIMS_FILE_KEYS, optional=OPTIONAL_CLAIMS_FILE_KEYS, what=what)
        if entries is None:
            return None
        named = self.scalar(entries["module"])
        if named is not None and named.text != self.module.name:
            self._fault(
                entries["module"],
                Text(
                    zh=f"本文件与模块 {self.module.name} 同名，应写它的名称",
                    en=f"these claims are next to the module {self.module.name!r}",
                ),
            )
        self.high = self._best(entries.get("best"))
        found: dict[str, Claim] = {}
        for item in self.items(entries["claims"], Text(zh="各条主张", en="the claims")):
            self.texts = []
            claim = self._claim(item)
            if claim is not None and claim.id in found:
                self.file.fault(
                    claim.location,
                    Text(zh=f"编号 {claim.id} 已经用过", en=f"the id {claim.id!r} is taken"),
                    Text(
                        zh=f"第 {found[claim.id].location.line} 行已使用",
                        en=f"it is used in line {found[claim.id].location.line}",
                    ),
                    "R100",
                )
            elif claim is not None:
                found[claim.id] = claim
        return ClaimsFile(self.high, tuple(found.values()))

    def _fault(self, entry: YamlEntry, message: Text, help: Text | None = None, code: str = "R100") -> None:  # noqa: A002  the term that authors read
        self.file.fault(entry.value.location, message, help or Text(zh="", en=""), code)

    def _best(self, entry: YamlEntry | None) -> bool:
        """Read which result is the best: a word at one end of the scale, or `most` or `least`."""
        if entry is None:
            return best_is_high(self.module)
        if self.module.numeric or self.module.strategy == "collect":
            known = ("least", "most")
        else:
            known = (str(self.module.result[0]), str(self.module.result[-1]))
        found = self.scalar(entry)
        if found is None:
            return False
        if found.text not in known:
            self._fault(
                entry,
                Text(zh=f"最好的结果不能是“{found.text}”", en=f"{found.text!r} cannot be the best result"),
                Text(zh=f"可写：{known[0]}、{known[1]}", en=f"write {known[0]!r} or {known[1]!r}"),
            )
        return found.text == known[1]

    def _claim(self, item: YamlValue) -> Claim | None:
        optional = [key for key in CLAIM_KEYS if key not in REQUIRED_CLAIM_KEYS]
        entries = self.entries(item, CLAIM_KEYS, optional=optional, what=Text(zh="主张", en="a claim"))
        if entries is None:
            return None
        identifier = self.word(entries["id"].value, Text(zh="主张的编号", en="a claim's id"))
        name, source = self.text(entries["name"]), self.short_text(entries["source"])
        since, until = self.period(entries)
        condition = self._condition(entries["if"], {}) if "if" in entries else None
        lists = self.whole_number(entries["lists"].value) if "lists" in entries else None
        fails = self.short_text(entries["fails"]) if "fails" in entries else None
        subject = self._subject(entries, entries["id"])
        if identifier is None or name is None or source is None or subject is None:
            return None
        return Claim(
            identifier,
            name,
            subject,
            self.high,
            source,
            since,
            until,
            condition,
            tuple(self.texts),
            lists,
            fails,
            entries["id"].value.location,
        )

    # ── what is claimed ──

    def _subject(self, entries: Mapping[str, YamlEntry], head: YamlEntry) -> Subject | None:
        named = [key for key in _SUBJECTS if key in entries]
        if len(named) != 1:
            kinds = ", ".join(_SUBJECTS)
            self._fault(
                head,
                Text(zh="一条主张须且只能写一种内容", en="a claim says exactly one thing"),
                Text(zh=f"写其中一项：{kinds}", en=f"write one of {kinds}"),
                "R101",
            )
            return None
        kind = named[0]
        entry = entries[kind]
        allowed = {"against": ("never", "unless"), "adding": ("never", "where")}
        allowed |= dict.fromkeys(DIRECTIONS, ("never",))
        for key in ("never", "where", "unless"):
            if key in entries and key not in allowed.get(kind, ()):
                self._fault(
                    entries[key],
                    Text(zh=f"“{kind}”之下不写“{key}”", en=f"`{key}` has no meaning with `{kind}`"),
                    code="R101",
                )
        match kind:
            case "against":
                return self._compared(entries, entry)
            case "adding":
                return self._added(entries, entry)
            case "never_both":
                return self._apart(entry)
            case "always_decided":
                return self._decided(entry)
            case "always":
                return self._always(entry)
            case _:
                return self._changed(entries, entry, cast("Direction", kind))

    def _never(self, entries: Mapping[str, YamlEntry], head: YamlEntry) -> Never | None:
        entry = entries.get("never")
        if entry is None:
            self._fault(
                head,
                Text(zh="缺少“never”", en="the claim needs the key 'never'"),
                Text(zh="写 never: worse、better 或 different", en="write never: worse, better or different"),
                "R101",
            )
            return None
        found = self.scalar(entry)
        if found is None or found.text not in _NEVER:
            self._fault(
                entry,
                Text(zh="“never”只能是 worse、better 或 different", en="`never` is worse, better or different"),
                code="R101",
            )
            return None
        return cast("Never", found.text)

    def _compared(self, entries: Mapping[str, YamlEntry], entry: YamlEntry) -> Compared | None:
        found = self.scalar(entry)
        if found is not None and found.text != "last":
            self._fault(
                entry,
                Text(zh="“against”只能写 last，即上一版", en="`against` is `last`, the edition before this one"),
                code="R101",
            )
        never = self._never(entries, entry)
        unless = self._condition(entries["unless"], {}) if "unless" in entries else None
        return None if never is None else Compared(never, unless)

    def _added(self, entries: Mapping[str, YamlEntry], entry: YamlEntry) -> Added | None:
        found = self._path(entry)
        never = self._never(entries, entry)
        if found is None or never is None:
            return None
        path, kind = found
        if kind.element is None or "[]" in ".".join(path[:-1]):
            self._fault(
                entry,
                Text(zh="“adding”须写事实中的一个列表", en="`adding` names a list of the facts"),
                code="R102",
            )
            return None
        where = self._condition(entries["where"], {"added": kind.element}) if "where" in entries else None
        return Added(path, where, never)

    def _changed(self, entries: Mapping[str, YamlEntry], entry: YamlEntry, direction: Direction) -> Changed | None:
        found = self._path(entry)
        never = self._never(entries, entry)
        if found is None or never is None:
            return None
        path, kind = found
        kinds = ("timestamp",) if direction in ("earlier", "later") else ("int", "double", "duration")
        if kind.kind not in kinds:
            self._fault(
                entry,
                Text(
                    zh=f"“{direction}”须写" + ("一个时刻" if "timestamp" in kinds else "一个数或一段时间"),
                    en=f"`{direction}` names " + ("an instant" if "timestamp" in kinds else "a number or a duration"),
                ),
                code="R102",
            )
            return None
        return Changed(direction, path, never)

    def _path(self, entry: YamlEntry) -> tuple[Path, Type] | None:
        """Read the path of a fact, such as facts.registration.since, or of a field of a list's elements."""
        found = self.scalar(entry)
        if found is None:
            return None
        parts = found.text.split(".")
        kind = Type("facts", struct=self.module.facts)
        if parts[0] != "facts" or len(parts) == 1:
            self._fault(
                entry,
                Text(zh="须写一项事实，如 facts.born_at", en="write a fact, such as facts.born_at"),
                code="R102",
            )
            return None
        for part in parts[1:]:
            kind = kind.element if kind.element is not None else kind
            known = fields_of(kind.struct) if kind.struct is not None else {}
            if part not in known:
                self._fault(
                    entry,
                    Text(zh=f"没有“{part}”这项事实", en=f"unknown field {part!r}"),
                    suggest(part, known),
                    "R102",
                )
                return None
            kind = known[part].type
        return tuple(parts[1:]), kind

    def _apart(self, entry: YamlEntry) -> Apart | None:
        words = [str(word) for word in self.module.result] if self.module.strategy == "collect" else []
        known = [*words, *(rule.id for rule in self.module.rules)]
        items = entry.value.items if isinstance(entry.value, YamlSequence) else []
        if len(items) != 2:  # noqa: PLR2004  a pair
            self._fault(
                entry,
                Text(zh="“never_both”须写两项，如 [甲, 乙]", en="`never_both` names two, such as [one, other]"),
                code="R101",
            )
            return None
        one, other = (self.word(item, Text(zh="结果或规则", en="a result or a rule"), known) for item in items)
        return None if one is None or other is None else Apart(one, other)

    def _decided(self, entry: YamlEntry) -> Decided:
        found = self.scalar(entry)
        if found is not None and found.text != "true":
            self._fault(entry, Text(zh="只能写 true", en="write `always_decided: true`"), code="R101")
        return Decided()

    def _always(self, entry: YamlEntry) -> Always | None:
        structs = {name: verdict_struct(self.module, old=name == "old") for name in ("old", "new")}
        condition = self._condition(entry, {name: Type("facts", struct=struct) for name, struct in structs.items()})
        if condition is None:
            return None
        compares = any(isinstance(node, Variable) and node.name == "old" for node in walk(condition))
        return Always(condition, compares)

    def _condition(self, entry: YamlEntry, names: Mapping[str, Type]) -> Node | None:
        found = self.scalar(entry)
        if found is None:
            return None
        facts = Type("facts", struct=self.module.facts)
        try:
            condition = check(found.text, {"facts": facts, "now": TIMESTAMP, **names}, zone=self.zone)
        except InvalidExpression as error:
            location = location_in(self.file, found, error.start, error.end)
            self.file.fault(location, error.message, error.help, "R103")
            return None
        if condition.type != BOOL:
            self._fault(
                entry,
                Text(zh="须写一个真或假的条件", en=f"expected a condition, got {condition.type}"),
                code="R103",
            )
            return None
        self.texts.append((condition, found.text))
        return condition
