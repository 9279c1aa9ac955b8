"""Cases: the tests of rule modules, written by their authors in YAML.

`colour.cases.yaml` is next to `colour.yaml`. Facts that many cases share are a persona, with a name: in the file of
cases, or for all modules of a folder in its `personas.yaml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.types import terms_of
from backend.rulebook.modules.field_reader import A_RESULT
from backend.rulebook.modules.keys import (
    CASE_KEYS,
    CASES_FILE_KEYS,
    EXPECTED_KEYS,
    OPTIONAL_CASE_KEYS,
    OPTIONAL_CASES_FILE_KEYS,
)
from backend.rulebook.modules.module import OTHERWISE, Module
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import (
    YamlEntry,
    YamlMapping,
    YamlScalar,
    YamlSequence,
    YamlValue,
    read_document,
)
from backend.rulebook.source import Location, SourceFile, suggest

NEVER = "never"
NONE = "none"
PERSONA = "persona"


@dataclass(frozen=True)
class Expected:
    """The expected value of one field of a verdict, and its location."""

    value: Any
    location: Location


@dataclass(frozen=True)
class Case:
    """Facts, and the expected verdict on them: any of result, rule, fired, changes_at, and a part of because.

    `terms` are some fields of the terms in force, or None if there are none.
    """

    name: str
    location: Location
    at: datetime
    on: date | None
    facts: Struct
    expected: Mapping[str, Expected]


@dataclass(frozen=True)
class Persona:
    """Facts with a name, of the Struct `facts`; a case may replace or add fields.

    `given` is None if the facts have a fault, so that it is not reported again for each case that names the persona.
    """

    facts: str
    given: Mapping[str, YamlEntry] | None
    location: Location


def read_cases(file: SourceFile, module: Module, shared: Mapping[str, Persona] | None = None) -> list[Case]:
    """Read the cases of a module, with the personas that its folder shares; faults are added to the file."""
    root = read_document(file)
    return [] if root is None or file.faults else _CaseReader(file, module, dict(shared or {})).cases(root)


def read_personas(file: SourceFile, facts: Mapping[str, type[Struct]]) -> dict[str, Persona]:
    """Read a folder's `personas.yaml`: each persona names the Struct of its facts. Faults are added to the file."""
    root = read_document(file)
    if root is None or file.faults:
        return {}
    reader = StructReader(file)
    entries = reader.entries(root, ("personas",), what=Text(zh="人物文件", en="a file of personas"))
    return {} if entries is None else _read_personas(reader, entries["personas"], facts)


def _read_personas(
    reader: StructReader, listed: YamlEntry, facts: Mapping[str, type[Struct]], default: str = ""
) -> dict[str, Persona]:
    """Read personas and check their fields; with a `default`, their `facts` may be missing."""
    found: dict[str, Persona] = {}
    for item in reader.items(listed, Text(zh="各个人物", en="the personas")):
        optional = ("facts",) if default else ()
        what = Text(zh="人物", en="a persona")
        entries = reader.entries(item, (PERSONA, "facts", "given"), optional=optional, what=what)
        name = reader.short_text(entries[PERSONA]) if entries is not None else None
        if entries is None or name is None:
            continue
        location = entries[PERSONA].value.location
        struct = reader.scalar(entries["facts"]) if "facts" in entries else None
        struct_name = struct.text if struct is not None else default
        given = entries["given"].value
        if name in found:
            message = Text(zh=f"人物“{name}”重复", en=f"two personas are named {name!r}")
            line = found[name].location.line
            advice = Text(zh=f"第一个在第{line}行；请改名", en=f"the first one is in line {line}; rename one")
            reader.file.fault(location, message, advice, "R050")
        elif struct_name not in facts:
            message = Text(zh=f"没有名为“{struct_name}”的事实结构", en=f"unknown facts {struct_name!r}")
            place = struct.location if struct else location
            reader.file.fault(place, message, suggest(struct_name, facts), "R051")
        else:
            fields = given.entries if isinstance(given, YamlMapping) else None
            is_valid = reader.partial(given, facts[struct_name]) is not None
            found[name] = Persona(struct_name, fields if is_valid else None, location)
    return found


@dataclass
class _CaseReader(StructReader):
    module: Module
    personas: dict[str, Persona] = field(default_factory=dict[str, Persona])

    def cases(self, root: YamlValue) -> list[Case]:
        entries = self.entries(
            root, CASES_FILE_KEYS, optional=OPTIONAL_CASES_FILE_KEYS, what=Text(zh="案例文件", en="a file of cases")
        )
        if entries is None:
            return []
        named = self.scalar(entries["module"])
        if named is not None and named.text != self.module.name:
            message = Text(
                zh=f"与这些案例同处的模块是“{self.module.name}”",
                en=f"these cases are next to the module {self.module.name!r}",
            )
            advice = Text(zh=f"请写 `module: {self.module.name}`", en=f"write `module: {self.module.name}`")
            self.file.fault(named.location, message, advice, "R014")
        if "personas" in entries:
            facts = self.module.facts
            self.personas |= _read_personas(self, entries["personas"], {facts.__name__: facts}, facts.__name__)
        cases: dict[str, Case] = {}
        for item in self.items(entries["cases"], Text(zh="各个案例", en="the cases")):
            case = self._case(item)
            if case is not None and case.name in cases:
                line = cases[case.name].location.line
                message = Text(zh="两个案例同名", en="two cases have the same name")
                advice = Text(zh=f"第一个在第{line}行", en=f"the first one is in line {line}")
                self.file.fault(case.location, message, advice, "R023")
            elif case is not None:
                cases[case.name] = case
        return list(cases.values())

    def _case(self, item: YamlValue) -> Case | None:
        entries = self.entries(item, CASE_KEYS, optional=OPTIONAL_CASE_KEYS, what=Text(zh="案例", en="a case"))
        if entries is None:
            return None
        name, at = self.short_text(entries["case"]), self.instant(entries["at"].value)
        on = self.day(entries["on"]) if "on" in entries else None
        facts = self._given(entries["given"].value)
        expected = self._expected(entries["expect"])
        if name is None or at is None or facts is None:
            return None
        return Case(name, entries["case"].value.location, at, on, facts, expected)

    def _given(self, value: YamlValue) -> Struct | None:
        """Read the facts of a case: fields, or a persona with fields that replace its own."""
        entry = value.entries.get(PERSONA) if isinstance(value, YamlMapping) else None
        if entry is None or not isinstance(value, YamlMapping):
            return self.struct(value, self.module.facts)
        named = self.scalar(entry)
        persona = self.personas.get(named.text) if named is not None else None
        if named is None:
            return None
        if persona is None:
            message = Text(zh=f"没有人物“{named.text}”", en=f"unknown persona {named.text!r}")
            advice = Text(zh="请写在 `personas` 下", en="write it below `personas`")
            if self.personas:
                advice = suggest(named.text, self.personas)
            self.file.fault(named.location, message, advice, "R052")
            return None
        if persona.facts != self.module.facts.__name__:
            message = Text(
                zh=f"人物“{named.text}”的事实是{persona.facts}，本模块读取{self.module.facts.__name__}",
                en=f"the persona {named.text!r} has {persona.facts}, this module reads {self.module.facts.__name__}",
            )
            advice = Text(zh="请改用另一人物，或直接写出事实", en="use another persona, or write the facts themselves")
            self.file.fault(named.location, message, advice, "R051")
            return None
        if persona.given is None:
            return None
        own = {key: found for key, found in value.entries.items() if key != PERSONA}
        return self.struct(YamlMapping(value.location, {**persona.given, **own}), self.module.facts)

    def _expected(self, entry: YamlEntry) -> dict[str, Expected]:
        if isinstance(entry.value, YamlScalar):
            return {"result": Expected(self._result(entry.value), entry.value.location)}
        what = Text(zh="`expect`", en="`expect`")
        entries = self.entries(entry.value, EXPECTED_KEYS, optional=EXPECTED_KEYS, what=what) or {}
        if not entries:
            message = Text(zh="没有预期结果的案例不会失败", en="a case without an expectation cannot fail")
            advice = Text(zh="请写 `expect: 结果`", en="write `expect: result`")
            self.file.fault(entry.value.location, message, advice, "R046")
        read = {
            "result": self._result,
            "rule": self._rule,
            "fired": self._fired,
            "changes_at": self._changes_at,
            "because": self._because,
            "terms": self._terms,
        }
        return {
            entry.key: Expected(read[entry.key](entry.value), entry.value.location)
            for entry in entries.values()
            if entry.key in read
        }

    def _result(self, value: YamlValue) -> object:
        if self.module.numeric:
            return self.whole_number(value, money=True)
        if self.module.strategy == "collect":
            return tuple(self.word(item, A_RESULT, self._words()) for item in self._items(value))
        return self.word(value, A_RESULT, self._words())

    def _rule(self, value: YamlValue) -> str | None:
        return self.word(value, Text(zh="规则", en="a rule"), [OTHERWISE, *(rule.id for rule in self.module.rules)])

    def _fired(self, value: YamlValue) -> tuple[str | None, ...]:
        return tuple(map(self._rule, self._items(value)))

    def _changes_at(self, value: YamlValue) -> datetime | None:
        return None if isinstance(value, YamlScalar) and value.text == NEVER else self.instant(value)

    def _because(self, value: YamlValue) -> str:
        """Read a reason, or a part of one, in Chinese or in English."""
        text = value.text.strip() if isinstance(value, YamlScalar) else ""
        if not text:
            message = Text(zh="“because”应为理由中的一段文字", en="`because` is a part of the reason")
            advice = Text(
                zh="写中文或英文理由的全文或一部分", en="write all or a part of the reason, in Chinese or English"
            )
            self.file.fault(value.location, message, advice, "R053")
        return text

    def _terms(self, value: YamlValue) -> dict[str, Any] | None:
        """Read some fields of the module's terms, or `none`."""
        struct = terms_of(self.module.facts)
        if struct is None:
            message = Text(zh="本模块没有执行条款", en=f"a module on {self.module.facts.__name__} has no `terms`")
            self.file.fault(value.location, message, Text(zh="请删去“terms”", en="remove `terms`"), "R054")
            return {}
        if isinstance(value, YamlScalar) and value.text == NONE:
            return None
        found = self.partial(value, struct) or {}
        types = {field.name: field.type for field in msgspec.structs.fields(struct)}
        try:
            return {name: msgspec.convert(each, types[name]) for name, each in found.items()}
        except msgspec.ValidationError as error:
            self.file.fault(value.location, Text(zh=f"条款无效：{error}", en=str(error)), code="R054")
            return {}

    def _words(self) -> list[str]:
        return [word for word in self.module.result if isinstance(word, str)]

    def _items(self, value: YamlValue) -> list[YamlValue]:
        if isinstance(value, YamlSequence):
            return value.items
        message = Text(zh="此处应为列表", en="expected a list, such as [...]")
        self.file.fault(value.location, message, Text(zh="请写 [..., ...]", en="write [..., ...]"), "R012")
        return []
