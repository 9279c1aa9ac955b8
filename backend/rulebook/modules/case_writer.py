"""Writing cases: facts and verdicts as the YAML of a file of cases, without personal data."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from backend.rulebook import Rulebook, Verdict
from backend.rulebook.language.temporal import duration_text
from backend.rulebook.language.tree import Constant, Field, Has, Node, walk
from backend.rulebook.language.types import fields_of
from backend.rulebook.modules.case_reader import NEVER
from backend.rulebook.modules.module import Module
from backend.rulebook.modules.yaml_document import YamlMapping, YamlSequence, YamlValue

MAX_LINE = 120

_PLAIN = re.compile(r"[A-Za-z\u4e00-\u9fff][\w\u4e00-\u9fff ()（），。、：；-]*", re.ASCII)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


def case_yaml(
    name: str, facts: Struct, verdict: Verdict, zone: ZoneInfo, *, on: date | None = None, indent: int = 2
) -> str:
    """Return a case as an item of a file of cases, whose expectation is the verdict."""
    margin = " " * indent
    lines = [f"{margin}- case: {text_yaml(name)}", f"{margin}  at: {instant_yaml(verdict.at, zone)}"]
    if on is not None:
        lines.append(f"{margin}  on: {on}")
    given = f"{margin}  given: {facts_yaml(facts, zone)}"
    if len(given) > MAX_LINE:
        parts = (f"{margin}    {key}: {value_yaml(found, zone)}" for key, found in stated_facts(facts).items())
        given = "\n".join([f"{margin}  given:", *parts])
    lines += [given, f"{margin}  expect: {{{', '.join(_expectations(verdict, zone))}}}"]
    return "\n".join(lines) + "\n"


def facts_yaml(facts: Struct, zone: ZoneInfo) -> str:
    """Return facts as a YAML mapping in one line, without the fields that have their defaults."""
    parts = (f"{key}: {value_yaml(found, zone)}" for key, found in stated_facts(facts).items())
    return f"{{{', '.join(parts)}}}"


def instant_yaml(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant as authors write it, in the city's time zone.

    In UTC before a zone had an offset of whole minutes, in China before 1901: RFC 3339 writes no others.
    """
    local = at.astimezone(zone)
    offset = local.utcoffset()
    return (local if offset is None or not offset.seconds % 60 else at.astimezone(UTC)).isoformat()


def without_personal_data(
    rulebook: Rulebook, module: Module, facts: Struct, at: datetime, *, on: date | None = None, exact: bool = False
) -> Struct:
    """Return facts on which the module decides the same, without what could name a person.

    Fields that no rule of the module reads are left out, and so are free texts that no rule compares with. Unless they
    are `exact`, as of an invented person, instants are rounded down to the hour, or to the second, and amounts of money
    to 100 yuan, where result, rule and fired rules stay the same. Raises ValueError, with the name of the field, if a
    free text decides.
    """
    wanted = _outcome(rulebook.evaluate(module.name, facts, at, on=on))

    def decides_the_same(changed: Struct) -> bool:
        return _outcome(rulebook.evaluate(module.name, changed, at, on=on)) == wanted

    read = _read_fields(module)
    words = {node.value for rule in module.rules for node in walk(rule.condition) if isinstance(node, Constant)}
    plain = cast("Struct", _reduced(facts, read, {word for word in words if isinstance(word, str)}))
    if not decides_the_same(plain):
        raise ValueError(", ".join(sorted(name for _, name in read & _free_texts(module.facts))))
    if exact:
        return plain
    for path, value in list(_leaves(plain, ())):
        for rounded in _rounded(path, value):
            changed = _with(plain, path, rounded)
            if rounded != value and decides_the_same(changed):
                plain = changed
                break
    return plain


def end_of_cases(root: YamlValue, text: str) -> int:
    """Return the number of lines before which another case of the file is inserted: after its last case."""
    assert isinstance(root, YamlMapping)
    begins = sorted(entry.location.line for entry in root.entries.values())
    later = [line for line in begins if line > root.entries["cases"].location.line]
    lines = text.split("\n")
    end = later[0] - 1 if later else len(lines)
    while end and (not lines[end - 1].strip() or (later and lines[end - 1].startswith("#"))):
        end -= 1
    return end


def is_block_list(value: YamlValue) -> bool:
    """Return whether a list is written with an item in each line, so that an item can be added by a line."""
    return isinstance(value, YamlSequence) and all(isinstance(item, YamlMapping) for item in value.items)


# ── YAML ──


def _expectations(verdict: Verdict, zone: ZoneInfo) -> Iterator[str]:
    result: Any = verdict.result
    words = cast("tuple[str, ...]", result) if isinstance(result, tuple) else None
    yield f"result: {result}" if words is None else f"result: [{', '.join(words)}]"
    yield f"rule: {verdict.rule}"
    if len(verdict.fired) > 1:
        yield f"fired: [{', '.join(verdict.fired)}]"
    if verdict.changes_at is None:
        yield f"changes_at: {NEVER}"
    else:
        yield f'changes_at: "{instant_yaml(verdict.changes_at, zone)}"'


def stated_facts(facts: Struct) -> Mapping[str, Any]:
    """Return the fields of facts that do not have their defaults."""
    defaults = {
        field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        for field in msgspec.structs.fields(type(facts))
        if not field.required
    }
    found = {name: getattr(facts, name) for name in facts.__struct_fields__}
    return {name: value for name, value in found.items() if name not in defaults or value != defaults[name]}


def value_yaml(value: Any, zone: ZoneInfo) -> str:  # noqa: ANN401  any value of the rule language
    """Return a value of facts as authors write it in a case, in one line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case datetime():
            return f'"{instant_yaml(value, zone)}"'
        case timedelta():
            return duration_text(value)
        case float():
            return _decimal(value)
        case list() | tuple():
            return f"[{', '.join(value_yaml(item, zone) for item in cast('tuple[Any, ...]', value))}]"
        case Struct():
            return facts_yaml(value, zone)
        case str():
            return text_yaml(value)
        case _:
            return str(value)


def _decimal(value: float) -> str:
    """Return all digits of a number, without an exponent."""
    text = f"{Decimal(repr(value)):f}"
    return text if "." in text else f"{text}.0"


def text_yaml(text: str) -> str:
    """Return a text as a YAML scalar, in quotes if YAML could read it as something else."""
    if _PLAIN.fullmatch(text) and text.strip() == text and text.lower() not in ("true", "false", "null", "yes", "no"):
        return text
    return msgspec.json.encode(text).decode()


# ── personal data ──


def _outcome(verdict: Verdict) -> tuple[object, ...]:
    return verdict.result, verdict.rule, verdict.fired


def _read_fields(module: Module) -> set[tuple[type[Struct], str]]:
    """Return the fields that a rule of the module reads."""
    nodes: list[Node] = [node for rule in module.rules for node in walk(rule.condition)]
    return {
        (node.operand.type.struct, node.name)
        for node in nodes
        if isinstance(node, Field | Has) and node.operand.type.struct is not None
    }


def _free_texts(struct: type[Struct]) -> set[tuple[type[Struct], str]]:
    """Return the fields of facts that may contain any text."""
    found: set[tuple[type[Struct], str]] = set()
    for name, field in fields_of(struct).items():
        element = field.type.element or field.type
        if element.struct is not None:
            found |= _free_texts(element.struct)
        elif element.kind == "string" and element.words is None:
            found.add((struct, name))
    return found


def _reduced(value: Any, read: set[tuple[type[Struct], str]], words: set[str]) -> Any:  # noqa: ANN401  any fact
    if isinstance(value, list | tuple):
        return tuple(_reduced(item, read, words) for item in cast("tuple[Any, ...]", value))
    if not isinstance(value, Struct):
        return value
    kinds = fields_of(type(value))
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(value)):
        found = getattr(value, field.name)
        is_read = (type(value), field.name) in read
        is_free_text = isinstance(found, str) and kinds[field.name].type.words is None and found not in words
        if field.required and is_free_text:
            kept[field.name] = _placeholder(type(value), field.name)
        elif field.required or (is_read and not is_free_text):
            kept[field.name] = _reduced(found, read, words)
    return type(value)(**kept)


def _placeholder(struct: type[Struct], name: str) -> str:
    """Return a text that a field of this Struct admits. Raises ValueError if we know none."""
    (kind,) = (field.type for field in msgspec.structs.fields(struct) if field.name == name)
    for text in ("x", "XX", "0"):
        with suppress(msgspec.ValidationError):
            return msgspec.convert(text, kind)
    raise ValueError(name)


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:  # noqa: ANN401
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _leaves(getattr(value, name), (*path, name))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(cast("tuple[Any, ...]", value)):
            yield from _leaves(item, (*path, position))
    else:
        yield path, value


def _rounded(path: tuple[str | int, ...], value: object) -> Iterator[object]:
    if isinstance(value, datetime):
        for step in (_HOUR, _SECOND):
            yield value - (value - datetime.min.replace(tzinfo=value.tzinfo)) % step
    elif type(value) is int and str(path[-1]).endswith("_fen"):
        yield value - value % 10_000


def _with(value: Any, path: tuple[str | int, ...], leaf: object) -> Any:  # noqa: ANN401  any fact
    if not path:
        return leaf
    first, rest = path[0], path[1:]
    if isinstance(value, Struct):
        name = str(first)
        return msgspec.structs.replace(value, **{name: _with(getattr(value, name), rest, leaf)})
    items = list(cast("tuple[Any, ...]", value))
    items[int(first)] = _with(items[int(first)], rest, leaf)
    return tuple(items)
