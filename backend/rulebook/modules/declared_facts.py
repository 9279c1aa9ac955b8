"""Facts that a rule module declares itself, so that a new policy needs no program.

    facts:
      extends: BenefitFacts                # what the service knows already, or nothing
      income_band:
        type: words
        words: {low: {zh: 低收入, en: low income}, high: {zh: 高收入, en: high income}}  # or [low, high]
        from: person                       # asked of the person; or a field such as property_register.homes
        meaning: {zh: 家庭收入档次, en: Income band of the household}

A declaration becomes a Struct like those of the services, so that all else reads, checks and compiles it as one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from backend.i18n import Text
from backend.rulebook.language.types import INT64, FactMeaning, UnsupportedFacts, fields_of
from backend.rulebook.modules.keys import FACT_KEYS, REQUIRED_FACT_KEYS
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.units import AMOUNT_SUFFIX
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlScalar, with_spelling
from backend.rulebook.source import SourceFile, suggest

EXTENDS, PERSON = "extends", "person"
MAX_FACTS, MAX_TEXT, MAX_RECORDS = 50, 200, 100
MAX_FEN = 10**13

FactType = Literal["bool", "number", "money", "date", "instant", "words", "text", "records"]
TYPES: tuple[FactType, ...] = get_args(FactType)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class DeclaredFact(Struct, frozen=True):
    """A fact that a module declares. `source` is "person" if the person is asked, or names what the service knows.

    A `date` is the midnight that begins it in the city, as an instant. `low` and `high` bound a number or an amount.
    A list of records has `fields`. `labels` are what people read for the words, in their order, if they have labels.
    """

    name: str
    type: FactType
    meaning: Text
    source: str = PERSON
    words: tuple[str, ...] = ()
    labels: tuple[Text, ...] = ()
    low: int = 0
    high: int = 0
    optional: bool = False
    fields: tuple["DeclaredFact", ...] = ()


def declared_facts(struct: type[Struct]) -> tuple[DeclaredFact, ...]:
    """Return the facts that a module declares beyond those of its service."""
    found: tuple[DeclaredFact, ...] = getattr(struct, "declared", ())
    return found


def read_facts(file: SourceFile, value: YamlMapping, module: str, structs: Mapping[str, type[Struct]]) -> Any:  # noqa: ANN401  a type of Struct, or None
    """Return the Struct that a module declares, or None after adding faults (R090 to R094) to the file."""
    return _FactsReader(file, structs).struct_of(value, module)


@lru_cache(maxsize=512)
def _struct(name: str, base: type[Struct] | None, declared: tuple[DeclaredFact, ...]) -> type[Struct]:
    """Make the Struct of a declaration; equal declarations are the same Struct, in every edition of a rulebook."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for fact in declared:
        unit = "fen" if fact.type == "money" else None
        meaning = FactMeaning(fact.meaning.zh, fact.meaning.en, unit, fact.labels)
        annotation = Annotated[_annotation(fact), meaning]
        if fact.optional:
            fields.append((fact.name, Annotated[_annotation(fact) | None, meaning], None))
        elif fact.type == "records":
            fields.append((fact.name, annotation, ()))
        else:
            fields.append((fact.name, annotation))
    bases = (base,) if base is not None else None
    return msgspec.defstruct(
        name, fields, bases=bases, namespace={"declared": declared}, frozen=True, kw_only=True, gc=False
    )


def _annotation(fact: DeclaredFact) -> Any:  # noqa: ANN401  any annotation of a Struct's field
    match fact.type:
        case "bool":
            return bool
        case "number" | "money":
            return Annotated[int, Meta(ge=fact.low, le=fact.high)]
        case "date" | "instant":
            return Annotated[datetime, Meta(tz=True)]
        case "words":
            return Literal[fact.words]
        case "text":
            return Annotated[str, Meta(max_length=MAX_TEXT)]
        case "records":
            return Annotated[tuple[_struct(_camel(fact.name), None, fact.fields), ...], Meta(max_length=MAX_RECORDS)]


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


@dataclass
class _FactsReader(StructReader):
    structs: Mapping[str, type[Struct]]

    def struct_of(self, value: YamlMapping, module: str) -> type[Struct] | None:
        before = len(self.file.faults)
        others = [entry.key for entry in value.entries.values() if isinstance(entry.value, YamlMapping)]
        entries = with_spelling(self.file, value, EXTENDS, others)
        base = self._base(entries.get(EXTENDS))
        declared = self._facts(YamlMapping(value.location, entries), base)
        if len(self.file.faults) > before:
            return None
        if not declared:
            message = Text(zh="没有声明事实", en="no fact is declared")
            self.file.fault(value.location, message, _EXAMPLE, "R090")
            return None
        struct = _struct(f"{_camel(module.rpartition('.')[2])}Facts", base, declared)
        try:
            fields_of(struct)
        except UnsupportedFacts as error:
            self.file.fault(value.location, error.message, code="R090")
            return None
        return struct

    def _base(self, entry: YamlEntry | None) -> type[Struct] | None:
        named = self.scalar(entry)
        if named is None:
            return None
        base = self.structs.get(named.text)
        if base is None:
            message = Text(zh=f"没有名为 {named.text!r} 的事实", en=f"unknown facts {named.text!r}")
            self.file.fault(named.location, message, suggest(named.text, self.structs), "R091")
        return base

    def _facts(self, value: YamlMapping, base: type[Struct] | None) -> tuple[DeclaredFact, ...]:
        entries = [entry for entry in value.entries.values() if entry.key != EXTENDS]
        if len(entries) > MAX_FACTS:
            message = Text(zh=f"事实超过{MAX_FACTS}项", en=f"more than {MAX_FACTS} facts")
            self.file.fault(value.location, message, code="R090")
        known = fields_of(base) if base is not None else {}
        for entry in entries:
            if not _NAME.fullmatch(entry.key) or entry.key in known:
                message = Text(
                    zh=f"{entry.key!r} 不能作为事实的名称", en=f"{entry.key!r} is not a name for a fact, or is taken"
                )
                advice = Text(zh="使用小写字母、数字和 _", en="use lower-case letters, digits and _")
                self.file.fault(entry.location, message, advice, "R090")
        sources = getattr(base, "sources", {}) if base is not None else None
        found = (self._fact(entry, sources) for entry in entries[:MAX_FACTS])
        return tuple(fact for fact in found if fact is not None)

    def _fact(self, entry: YamlEntry, sources: Mapping[str, tuple[str, ...]] | None) -> DeclaredFact | None:
        """Read a fact; `sources` are what the service knows, with the types of each, or None without a service."""
        optional = [key for key in FACT_KEYS if key not in REQUIRED_FACT_KEYS]
        entries = self.entries(entry.value, FACT_KEYS, optional=optional, what=_fact_named(entry.key))
        if entries is None:
            return None
        kind = self.word(entries["type"].value, Text(zh="事实类型", en="a type of facts"), TYPES)
        meaning = self.text(entries["meaning"])
        if kind is None or meaning is None:
            return None
        self._check_keys(entry, entries, kind)
        is_optional = "optional" in entries and self.literal(entries["optional"].value) is True
        low, high = self._bounds(entries, kind)
        source = self._source(entries.get("from"), kind, sources, is_optional=is_optional)
        words, labels = self._words(entries.get("words"))
        inner = entries.get("fields")
        fields = self._records(inner.value) if inner is not None and isinstance(inner.value, YamlMapping) else ()
        return DeclaredFact(
            entry.key, _type(kind), meaning, source, words, labels, low, high, optional=is_optional, fields=fields
        )

    def _check_keys(self, entry: YamlEntry, entries: Mapping[str, YamlEntry], kind: str) -> None:
        needs = {"words": ("words",), "number": ("at_least", "at_most"), "records": ("fields",)}.get(kind, ())
        allowed = {*needs, "type", "optional", "from", "meaning", *(("at_most",) if kind == "money" else ())}
        for key in needs:
            if key not in entries:
                message = Text(zh=f"类型 {kind} 需要 `{key}`", en=f"the type {kind} needs the key {key!r}")
                self.file.fault(entry.location, message, _EXAMPLE, "R092")
        for key in entries.keys() - allowed:
            message = Text(zh=f"类型 {kind} 没有 `{key}`", en=f"the type {kind} has no key {key!r}")
            advice = Text(zh="请删去它，或更正类型", en="remove it, or correct the type")
            self.file.fault(entries[key].location, message, advice, "R092")
        if (kind == "money") != entry.key.endswith(AMOUNT_SUFFIX):
            message = Text(
                zh=f"金额的名称以 {AMOUNT_SUFFIX} 结尾，其他事实不用",
                en=f"amounts, and they alone, end in {AMOUNT_SUFFIX}",
            )
            self.file.fault(entry.location, message, _write(_amount_name(entry.key, kind)), "R092")

    def _bounds(self, entries: Mapping[str, YamlEntry], kind: str) -> tuple[int, int]:
        default = {"money": (0, MAX_FEN), "number": INT64}.get(kind, (0, 0))
        found = [
            self.whole_number(entries[key].value, money=kind == "money") if key in entries else None
            for key in ("at_least", "at_most")
        ]
        low, high = (end if given is None else given for given, end in zip(found, default, strict=True))
        if low > high:
            message = Text(zh="`at_least` 大于 `at_most`", en="`at_least` is greater than `at_most`")
            self.file.fault(entries["at_most"].value.location, message, code="R092")
        return low, high

    def _words(self, entry: YamlEntry | None) -> tuple[tuple[str, ...], tuple[Text, ...]]:
        """Read the words of a fact: a list, or a mapping with the label of each."""
        if entry is None:
            return (), ()
        if isinstance(entry.value, YamlMapping) and entry.value.entries:
            return self._labelled_words(entry.value)
        words = [self.word(item, Text(zh="词", en="a word of this fact")) for item in self.items(entry, _THE_WORDS)]
        found = [word for word in words if word is not None]
        for word in {word for word in found if found.count(word) > 1}:
            message = Text(zh=f"{word!r} 重复", en=f"{word!r} is listed twice")
            self.file.fault(entry.location, message, code="R092")
        return tuple(dict.fromkeys(found)), ()

    def _labelled_words(self, value: YamlMapping) -> tuple[tuple[str, ...], tuple[Text, ...]]:
        found: dict[str, Text] = {}
        for one in value.entries.values():
            key = YamlScalar(one.location, one.key, "", one.location.line)
            word, label = self.word(key, Text(zh="词", en="a word of this fact")), self.text(one)
            if word is not None and label is not None:
                found[word] = label
        return tuple(found), tuple(found.values())

    def _source(
        self, entry: YamlEntry | None, kind: str, sources: Mapping[str, tuple[str, ...]] | None, *, is_optional: bool
    ) -> str:
        named = self.scalar(entry)
        if named is None or named.text == PERSON or sources is None:
            return named.text if named is not None else PERSON
        if named.text not in sources:
            message = Text(zh=f"没有来源 {named.text!r}", en=f"there is no source {named.text!r}")
            self.file.fault(named.location, message, suggest(named.text, [PERSON, *sources]), "R093")
        elif kind not in sources[named.text]:
            kinds = " or ".join(sources[named.text])
            message = Text(zh=f"{named.text} 的类型是 {kinds}", en=f"{named.text} is of type {kinds}")
            self.file.fault(named.location, message, _write(f"type: {sources[named.text][0]}"), "R093")
        elif not is_optional and named.text.startswith("profile."):
            message = Text(zh="档案中可能没有此项", en="a profile may lack this")
            self.file.fault(named.location, message, _write("optional: true"), "R093")
        return named.text

    def _records(self, value: YamlMapping) -> tuple[DeclaredFact, ...]:
        found = (self._fact(entry, None) for entry in value.entries.values())
        return tuple(fact for fact in found if fact is not None)


_THE_WORDS = Text(zh="各个词", en="the words")


def _fact_named(name: str) -> Text:
    return Text(zh=f"事实“{name}”", en=f"the fact {name!r}")


def _type(kind: str) -> FactType:
    return next(one for one in TYPES if one == kind)


_EXAMPLE = Text(
    zh="写作 income_band: {type: words, words: [low, high], from: person, meaning: {zh: 收入档次, en: Income band}}",
    en="write income_band: {type: words, words: [low, high], from: person, meaning: {zh: 收入档次, en: Income band}}",
)


def _amount_name(name: str, kind: str) -> str:
    plain = name.removesuffix(AMOUNT_SUFFIX)
    return f"{plain}{AMOUNT_SUFFIX}" if kind == "money" else plain


def _write(form: str) -> Text:
    return Text(zh=f"请写 `{form}`", en=f"write `{form}`")
