"""Reads a rule module from YAML and checks it against its facts. It is not yet compiled.

All faults of a file are reported at once, each with its location.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.checker import check
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.tree import Node
from backend.rulebook.language.types import (
    TIMESTAMP,
    Type,
    UnsupportedFacts,
    fields_of,
    terms_of,
)
from backend.rulebook.modules.declared_facts import read_facts
from backend.rulebook.modules.figures import InvalidFigure, check_figures
from backend.rulebook.modules.keys import (
    MODULE_KEYS,
    OPTIONAL_MODULE_KEYS,
    OPTIONAL_OTHERWISE_KEYS,
    OPTIONAL_RULE_KEYS,
    OTHERWISE_KEYS,
    RULE_KEYS,
)
from backend.rulebook.modules.module import OTHERWISE, Module, Otherwise, Parameter, Rule
from backend.rulebook.modules.module_document import module_document
from backend.rulebook.modules.parameter_reader import NAME
from backend.rulebook.modules.periods import DatedValue, in_force, resolve_periods
from backend.rulebook.modules.result_reader import ResultReader
from backend.rulebook.modules.yaml_document import (
    YamlEntry,
    YamlMapping,
    YamlScalar,
    YamlValue,
    location_in,
)
from backend.rulebook.source import Location, SourceFile, suggest

MAX_RULES = 500

_A_MODULE = Text(zh="规则模块", en="a rule module")
_A_RULE_ID = Text(zh="规则编号", en="a rule's id")


def read_module(file: SourceFile, name: str, facts: Mapping[str, type[Struct]], zone: ZoneInfo) -> Module | None:
    """Read the module `name` from its file; its days and years are those of `zone`.

    Returns None and adds faults to the file if it is invalid.
    """
    root = module_document(file)
    if root is None or file.faults:
        return None
    module = _ModuleReader(file, name, facts, zone).module(root)
    return None if file.faults else module


@dataclass
class _ModuleReader(ResultReader):
    name: str
    structs: Mapping[str, type[Struct]]
    zone: ZoneInfo
    terms: tuple[DatedValue, ...] = ()

    def module(self, root: YamlValue) -> Module | None:
        entries = self.entries(root, MODULE_KEYS, optional=OPTIONAL_MODULE_KEYS, what=_A_MODULE)
        if entries is None:
            return None
        self._check_name(entries.get("module"))
        facts = self._facts(entries.get("facts"))
        self.strategy = self.read_strategy(entries.get("strategy"))
        self.result = self.read_result(entries.get("result"))
        title = self.text(entries.get("title"))
        self.terms = self._terms(root.location, entries.get("terms"), facts.struct) if facts and facts.struct else ()
        self.read_articles(entries.get("articles"))
        before = len(self.file.faults)
        if "parameters" in entries:
            self.read_parameters(entries["parameters"].value)
        are_valid = len(self.file.faults) == before  # a rule with an invalid parameter is not a second fault
        rules = self._rules(entries.get("rules"), facts if are_valid else None)
        otherwise = self._otherwise(entries.get("otherwise"))
        if facts is None or facts.struct is None or title is None or otherwise is None or self.file.faults:
            return None
        return Module(
            self.name,
            title,
            facts.struct,
            self.result,
            self.strategy,
            self.parameters,
            tuple(rules),
            otherwise,
            self.terms,
            in_yuan=self.in_yuan,
            orders=tuple(self.orders.values()),
        )

    # ── the head ──

    def _check_name(self, entry: YamlEntry | None) -> None:
        found = self.scalar(entry)
        if found is not None and not all(NAME.fullmatch(part) for part in self.name.split(".")):
            message = Text(
                zh=f"按路径，本模块名为“{self.name}”，不能作名称",
                en=f"the path gives the module the name {self.name!r}",
            )
            advice = Text(
                zh="请给文件或文件夹改名：以字母开头，由不超过64个小写字母、数字和 _ 组成",
                en="rename the file or folder: up to 64 lower-case letters, digits and _, beginning with a letter",
            )
            self.file.fault(found.location, message, advice, "R002")
        elif found is not None and found.text != self.name:
            self.file.fault(
                found.location,
                Text(zh=f"模块按路径命名：“{self.name}”", en=f"the module is named by its path: {self.name!r}"),
                Text(zh=f"请写 `module: {self.name}`", en=f"write `module: {self.name}`"),
                "R014",
            )

    def _facts(self, entry: YamlEntry | None) -> Type | None:
        if entry is not None and isinstance(entry.value, YamlMapping):
            declared = read_facts(self.file, entry.value, self.name, self.structs)
            return None if declared is None else Type("facts", struct=declared)
        found = self.scalar(entry)
        if found is None:
            return None
        struct = self.structs.get(found.text)
        if struct is None:
            self.file.fault(
                found.location,
                Text(
                    zh=f"未知的事实“{found.text}”：没有服务在 `Service(rule_modules=...)` 中声明它",
                    en=f"unknown facts {found.text!r}: no service declares this Struct in `Service(rule_modules=...)`",
                ),
                suggest(found.text, self.structs),
                "R015",
            )
            return None
        try:
            fields_of(struct)
            fields_of(terms_of(struct) or struct)
        except UnsupportedFacts as error:
            self.file.fault(
                found.location,
                error.message,
                Text(zh="请由开发人员更正事实的类型", en="a developer must correct the type of this fact"),
                "R015",
            )
            return None
        return Type("facts", struct=struct)

    # ── terms ──

    def _terms(self, head: Location, entry: YamlEntry | None, facts: type[Struct]) -> tuple[DatedValue, ...]:
        """Read the terms, if the facts declare any."""
        struct = terms_of(facts)
        if struct is None or entry is None:
            if entry is not None:
                message = Text(
                    zh=f"以 {facts.__name__} 为事实的模块没有 `terms`",
                    en=f"a module on {facts.__name__} has no `terms`",
                )
                self.file.fault(entry.location, message, Text(zh="请删去 `terms`", en="remove `terms`"), "R026")
            elif struct is not None:
                message = Text(
                    zh=f"以 {facts.__name__} 为事实的模块缺少键“terms”",
                    en=f"a module on {facts.__name__} needs the key 'terms'",
                )
                self.file.fault(head, message, Text(zh="请补上 `terms:`", en="add `terms:`"), "R026")
            return ()
        fields = fields_of(struct)
        needed = [found.name for found in msgspec.structs.fields(struct) if found.required]
        known = ("from", "until", *fields, "source")
        optional = [key for key in known if key not in (*needed, "source")]
        dated: list[DatedValue] = []
        for item in self.items(entry, Text(zh="带日期的条款", en="the terms with their dates")):
            entries = self.entries(
                item, known, optional=optional, what=Text(zh="`terms` 的一项", en="an item of `terms`")
            )
            if entries is None:
                continue
            values = YamlMapping(item.location, {key: held for key, held in entries.items() if key in fields})
            terms, source = self.struct(values, struct), self.short_text(entries["source"])
            since, until = self.period(entries)
            if terms is not None and source is not None:
                dated.append(DatedValue(since, until, terms, source, item.location))
        return resolve_periods("terms", dated, self.file)

    # ── rules ──

    def _rules(self, entry: YamlEntry | None, facts: Type | None) -> list[Rule]:
        if entry is None:
            return []
        rules: list[Rule] = []
        seen: dict[str, Location] = {}
        items = self.items(entry, Text(zh="各条规则", en="the rules"))
        if len(items) > MAX_RULES:
            message = Text(zh=f"规则多于{MAX_RULES}条", en=f"more than {MAX_RULES} rules")
            self.file.fault(entry.location, message, Text(zh="请拆分模块", en="split the module"), "R004")
        for item in items[:MAX_RULES]:
            entries = self.entries(item, RULE_KEYS, optional=OPTIONAL_RULE_KEYS, what=Text(zh="规则", en="a rule"))
            identifier = self.word(entries["id"].value, _A_RULE_ID) if entries else None
            if entries is None or identifier is None:
                continue
            if identifier in seen or identifier == OTHERWISE:
                message = Text(zh=f"编号“{identifier}”已被占用", en=f"the id {identifier!r} is taken")
                where = Text(zh="这是保留的编号", en="it is reserved")
                if identifier in seen:
                    line = seen[identifier].line
                    where = Text(zh=f"第{line}行已用了它", en=f"it is used in line {line}")
                self.file.fault(entries["id"].value.location, message, where, "R023")
            seen[identifier] = entries["id"].value.location
            rule = self._rule(entries, identifier, facts)
            if rule is not None:
                rules.append(rule)
        return rules

    def _rule(self, entries: Mapping[str, YamlEntry], identifier: str, facts: Type | None) -> Rule | None:
        since, until = self.period(entries)
        then = self.outcome(entries["then"].value)
        because, source = self.text(entries["because"]), self.short_text(entries["source"])
        remedy = self.text(entries["remedy"]) if "remedy" in entries else None
        when = self.scalar(entries["when"])
        condition = self._condition(when, facts) if when is not None and facts is not None else None
        if condition is None or when is None or then is None or because is None or source is None:
            return None
        used = [name for key in ("because", "remedy") if key in entries for name in self._figures(entries[key])]
        location, articles = entries["id"].value.location, self.articles(entries.get("article"))
        rule = Rule(identifier, since, until, when.text, condition, then, because, remedy, source, location, articles)
        for name in sorted(self.parameters.keys() & {*rule.names(), *used}):
            self._check_values(entries["when"].value.location, self.parameters[name], since, until)
        return rule

    def _figures(self, entry: YamlEntry) -> list[str]:
        """Return the names of the parameters that a text of two languages uses; a wrong one is a fault."""
        used: list[str] = []
        for language in entry.value.entries.values() if isinstance(entry.value, YamlMapping) else ():
            if isinstance(language.value, YamlScalar):
                try:
                    used += check_figures(language.value.text, self.parameters, self.terms)
                except InvalidFigure as error:
                    invalid = [name for name in self.invalid_parameters if f"{{{name}" in language.value.text]
                    location = location_in(self.file, language.value, error.start, error.end)
                    if not invalid:
                        self.file.fault(location, error.message, error.help, "R085")
        return used

    def _condition(self, when: YamlScalar, facts: Type) -> Node | None:
        names = {name: parameter.type for name, parameter in self.parameters.items()}
        try:
            condition = check(when.text, {"facts": facts, "now": TIMESTAMP, **names}, zone=self.zone)
        except InvalidExpression as error:
            self.file.fault(location_in(self.file, when, error.start, error.end), error.message, error.help, error.code)
            return None
        if condition.type.kind != "bool":
            message = Text(
                zh=f"规则的条件应为真或假，而不是{condition.type.text.zh}",
                en=f"a rule's condition must be true or false, not {condition.type}",
            )
            self.file.fault(
                when.location,
                message,
                Text(zh="请把它与一个值比较，例如 `>= 1`", en="compare it with a value, such as `>= 1`"),
                "R043",
            )
            return None
        return condition

    def _check_values(self, location: Location, parameter: Parameter, since: date | None, until: date | None) -> None:
        """Add a fault if the rule is in force on a day without a value of its parameter."""
        days = {since or date.min, *(value.until for value in parameter.values if value.until is not None)}
        for day in sorted(days):
            if in_force(since, until, day) and parameter.on(day) is None:
                began = Text(zh="第一个日期之前", en="before its first date")
                if day != date.min:
                    began = Text(zh=f"在 {day} 当天", en=f"on {day}")
                advice = Text(zh="请补上这一天的值", en="add a value for that day")
                if day == (since or date.min):
                    advice = Text(
                        zh="请给规则写明 `from`，或为参数补上更早的值",
                        en="give the rule a `from`, or the parameter an earlier value",
                    )
                message = Text(
                    zh=f"规则有效期内，“{parameter.name}”{began.zh}没有值",
                    en=f"{parameter.name!r} has no value {began.en}, when the rule is in force",
                )
                self.file.fault(location, message, advice, "R022")
                return

    def _otherwise(self, entry: YamlEntry | None) -> Otherwise | None:
        if entry is None:
            return None
        entries = self.entries(
            entry.value,
            OTHERWISE_KEYS,
            optional=OPTIONAL_OTHERWISE_KEYS,
            what=Text(zh="`otherwise`", en="`otherwise`"),
        )
        if entries is None:
            return None
        then, because = self.outcome(entries["then"].value, named=False), self.text(entries["because"])
        remedy = self.text(entries["remedy"]) if "remedy" in entries else None
        for key in ("because", "remedy"):
            for name in self._figures(entries[key]) if key in entries else ():
                first = self.parameters[name].values[0].since
                self._check_values(entries[key].location, self.parameters[name], first, None)
        return None if then is None or because is None else Otherwise(then, because, remedy)
