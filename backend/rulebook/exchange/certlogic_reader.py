"""Import of a CertLogic rule, as the European digital certificates have them: JSON with `Logic` and its dates."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from backend.i18n import Text
from backend.rulebook.exchange.certlogic import Expression, Var, read_expression, walk
from backend.rulebook.exchange.certlogic_conditions import Conditions
from backend.rulebook.exchange.certlogic_kinds import VALUE_SETS, Kind, kinds_of
from backend.rulebook.exchange.fields import meaning_of
from backend.rulebook.exchange.formula import AND, FALSE, TRUE, without_repetition
from backend.rulebook.exchange.module_text import (
    ImportedFact,
    ImportedModule,
    ImportedRule,
    in_ascii,
    name_of,
    one_line,
)
from backend.rulebook.exchange.refusal import UNREADABLE, CannotExpress
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import parse_instant
from backend.rulebook.language.types import INSTANT_RANGE
from backend.rulebook.modules.yaml_document import YamlMapping, YamlScalar, YamlSequence, YamlValue, read_document
from backend.rulebook.source import Location, SourceFile

ACCEPTED, REFUSED, OUT_OF_FORCE = "accepted", "refused", "not-in-force"
"""What an imported module decides: the certificate passes the rule, or not, or the rule is not in force."""

FOLDER = "certlogic"
MAX_SAFE = 2**53 - 1
"""The greatest whole number that JSON keeps everywhere."""

_DAY = timedelta(days=1)
_KEYS: Mapping[Kind, str] = {
    "present": "type: bool",
    "bool": "type: bool, optional: true",
    "instant": "type: instant, optional: true",
    "number": f"type: number, at_least: -{MAX_SAFE}, at_most: {MAX_SAFE}, optional: true",
    "text": "type: text, optional: true",
}


def read_certlogic(file: SourceFile, value_sets: Mapping[str, Sequence[str]]) -> ImportedModule | None:
    """Return the module of a CertLogic rule; `value_sets` are the lists of `external.valueSets` by their names.

    A part that our rules cannot express is a fault (R120 to R124) of the file at its place; then returns None.
    """
    try:
        root = read_json(file)
        return None if root is None else _module(root, value_sets)
    except CannotExpress as refused:
        file.fault(refused.location, refused.message, refused.help, refused.code)
        return None


def read_json(file: SourceFile) -> YamlValue | None:
    """Return a JSON document with the place of each value, or None after adding faults. Raises CannotExpress."""
    try:
        json.loads(file.text)
    except json.JSONDecodeError as error:
        location = Location(error.lineno, error.colno)
        raise _unreadable(location, Text(zh=f"不是 JSON：{error.msg}", en=f"not JSON: {error.msg}")) from None
    except RecursionError:
        raise _unreadable(Location(1, 1), Text(zh="嵌套过深", en="nested too deeply")) from None
    # JSON without tabs is YAML, and this reader knows the place of each value. JSON has tabs between values only.
    spaced = SourceFile(file.path, file.text.replace("\t", " "), [])
    root = read_document(spaced)
    file.faults += spaced.faults
    return None if file.faults else root


def _module(root: YamlValue, value_sets: Mapping[str, Sequence[str]]) -> ImportedModule:
    if not isinstance(root, YamlMapping):
        raise _unreadable(root.location, Text(zh="此处应为一条 CertLogic 规则", en="expected a CertLogic rule"))
    identifier, version = one_line(_text(root, "Identifier")), one_line(_text(root, "Version"))
    if _text(root, "Engine") != "CERTLOGIC":
        raise _unreadable(root.entries["Engine"].location, Text(zh="不是 CertLogic 规则", en="not a CertLogic rule"))
    logic = read_expression(_entry(root, "Logic"))
    begins, ends = _instant(root, "ValidFrom"), _instant(root, "ValidTo")
    kinds = kinds_of(logic)
    names = _names(kinds, root.location)
    lists = _lists(logic, value_sets)
    conditions = Conditions(names, kinds, {path: name if values else "" for path, (name, values) in lists.items()})
    passes = without_repetition(conditions.passes(logic))
    in_force = f"now >= {_stamp(begins)} && now <= {_stamp(ends)}"
    source = f"[V] the rule {identifier}, version {version}, of the European digital certificates"
    described = _description(root)
    title = Text(zh=f"欧盟数字证书规则 {identifier}", en=f"Rule {identifier} of the European digital certificates")
    rules: list[ImportedRule] = []
    if passes != FALSE:
        because = Text(zh=f"证书符合规则 {identifier}", en=in_ascii(f"The certificate passes: {described}"))
        when = in_force if passes == TRUE else f"{in_force} && {passes.within(AND)}"
        rules.append(ImportedRule("passes", when, ACCEPTED, because, source))
    if passes != TRUE:
        because = Text(zh=f"证书不符合规则 {identifier}", en=in_ascii(f"The certificate does not pass: {described}"))
        rules.append(ImportedRule("fails", in_force, REFUSED, because, source))
    otherwise = Text(zh=f"规则 {identifier} 此时无效", en=f"The rule {identifier} is not in force at this time")
    words = [word for word in (ACCEPTED, REFUSED) if any(rule.then == word for rule in rules)]
    return ImportedModule(
        f"{FOLDER}.{name_of(identifier)}",
        title,
        _notes(identifier),
        [ImportedFact(names[path], f"{_KEYS[kind]}, from: {path}", meaning_of(path)) for path, kind in kinds.items()],
        f"[{', '.join([*words, OUT_OF_FORCE])}]",
        rules,
        (OUT_OF_FORCE, otherwise),
        max(begins - _DAY, INSTANT_RANGE[0] + _DAY).date(),
        {name: values for name, values in lists.values() if values},
        source,
    )


def _notes(identifier: str) -> list[Text]:
    return [
        Text(zh=f"由 CertLogic 规则 {identifier} 导入。", en=f"Imported from the CertLogic rule {identifier}."),
        Text(
            zh="`from` 是规则生效前一天；准确的生效时刻写在条件中。",
            en="`from` is the day before the rule begins; the exact instants are in the conditions.",
        ),
    ]


def _names(kinds: Mapping[str, Kind], location: Location) -> dict[str, str]:
    """Return the name of the fact of each path."""
    names: dict[str, str] = {}
    for path in kinds:
        name = name_of(path.removeprefix("payload."))
        name = f"{name}_" if name.endswith("_fen") else name
        if name in names.values():
            message = Text(zh=f"两个字段会同名：{name}", en=f"two fields would have the name {name}")
            raise CannotExpress(location, message)
        names[path] = name
    if not names:
        message = Text(zh="规则不读取证书的任何字段", en="the rule reads no field of the certificate")
        raise CannotExpress(location, message)
    return names


def _lists(logic: Expression, value_sets: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, Sequence[str]]]:
    """Return the parameter and the values of each value set that is read and given, by its path."""
    read = dict.fromkeys(part.path for part in walk(logic) if isinstance(part, Var))
    return {
        path: (name_of(path.removeprefix(VALUE_SETS)), value_sets[path.removeprefix(VALUE_SETS)])
        for path in read
        if path.startswith(VALUE_SETS) and path.removeprefix(VALUE_SETS) in value_sets
    }


def _description(root: YamlMapping) -> str:
    """Return what the rule says of itself, in English if it does."""
    found: dict[str, str] = {}
    listed = root.entries["Description"].value if "Description" in root.entries else None
    for item in listed.items if isinstance(listed, YamlSequence) else ():
        if isinstance(item, YamlMapping):
            found.setdefault(_text(item, "lang"), _text(item, "desc"))
    return found.get("en") or next(iter(found.values()), _text(root, "Identifier"))


def _entry(root: YamlMapping, key: str) -> YamlValue:
    if key not in root.entries:
        raise _unreadable(root.location, Text(zh=f"缺少“{key}”", en=f"{key!r} is missing"))
    return root.entries[key].value


def _text(root: YamlMapping, key: str) -> str:
    value = _entry(root, key)
    if not isinstance(value, YamlScalar):
        raise _unreadable(value.location, Text(zh=f"“{key}”应为文本", en=f"{key!r} is a text"))
    return value.text


def _instant(root: YamlMapping, key: str) -> datetime:
    try:
        return parse_instant(_text(root, key)).astimezone(UTC)
    except EvaluationError as error:
        raise _unreadable(root.entries[key].value.location, error.message) from None


def _stamp(instant: datetime) -> str:
    return f'timestamp("{instant.isoformat().replace("+00:00", "Z")}")'


def _unreadable(location: Location, message: Text) -> CannotExpress:
    return CannotExpress(location, message, code=UNREADABLE)
