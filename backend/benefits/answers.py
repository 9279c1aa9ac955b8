"""Answers of a subject to the questions of a benefit: the facts that its rule module declares and asks for."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from backend.i18n import Text, yuan
from backend.problems import FieldError, InvalidRequest
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import INSTANT_RANGE
from backend.rulebook.modules.declared_facts import PERSON, DeclaredFact, declared_facts
from backend.rulebook.modules.labels import labelled_words

Answers = Mapping[str, Any]
"""What a person answers to the questions of a benefit, by the name of the fact, as in JSON."""


def asked_facts(struct: type[Struct]) -> list[DeclaredFact]:
    """Return the facts that a benefit asks of the person."""
    return [fact for fact in declared_facts(struct) if fact.source == PERSON]


def answered_values(struct: type[Struct], answers: Answers, zone: ZoneInfo) -> dict[str, Any]:
    """Return the values of a person's answers. Raises InvalidRequest, which names each one that is missing or wrong."""
    values, errors = dict[str, Any](), list[FieldError]()
    asked = {fact.name: fact for fact in asked_facts(struct)}
    for name in answers.keys() - asked.keys():
        errors.append(FieldError(f"/facts/{name}", "This benefit does not ask for it.", "该项政策不需要此项，请删去。"))
    for fact in asked.values():
        given = answers.get(fact.name)
        if given is None and (fact.optional or fact.type == "records"):
            continue
        try:
            values[fact.name] = _value(fact, given, zone)
        except ValueError:
            expected = expected_answer(fact)
            detail_zh = f"{fact.meaning.zh}：{expected.zh}"
            errors.append(FieldError(f"/facts/{fact.name}", f"{fact.meaning.en}: {expected.en}", detail_zh))
    if errors:
        raise InvalidRequest(
            Text(zh="提交的内容有误，请核对后重试。", en="The request is invalid; please check it and try again."),
            errors=tuple(errors),
        )
    return values


def _value(fact: DeclaredFact, given: object, zone: ZoneInfo) -> object:
    """Return the value of an answer. Raises ValueError if it is not one that the fact can have."""
    match fact.type, given:
        case "bool", bool():
            return given
        case "number" | "money", int() if not isinstance(given, bool) and fact.low <= given <= fact.high:
            return given
        case "words", str() if given in fact.words:
            return given
        case "text", str() if 1 <= len(given) <= _MAX_TEXT:
            return given
        case "date", str():
            return _in_range(midnight(date.fromisoformat(given), zone))
        case "instant", str():
            return _in_range(msgspec.convert(given, datetime))
        case "records", list():
            return [_record(fact, one, zone) for one in cast("list[object]", given)[: _MAX_RECORDS + 1]]
        case _:
            raise ValueError(fact.name)


_MAX_TEXT, _MAX_RECORDS = 200, 100


def _in_range(instant: datetime) -> datetime:
    if instant.tzinfo is None or not INSTANT_RANGE[0] <= instant < INSTANT_RANGE[1]:
        raise ValueError(instant)
    return instant


def _record(fact: DeclaredFact, given: object, zone: ZoneInfo) -> dict[str, object]:
    if not isinstance(given, dict):
        raise ValueError(fact.name)  # noqa: TRY004  one error for whatever is no answer
    record = cast("dict[str, object]", given)
    fields = {one.name: one for one in fact.fields}
    if record.keys() - fields.keys():
        raise ValueError(fact.name)
    present = (one for one in fact.fields if not (one.optional and record.get(one.name) is None))
    return {one.name: _value(one, record.get(one.name), zone) for one in present}


def kept_answers(struct: type[Struct], kept: Answers) -> dict[str, Any]:
    """Return the values that a claim keeps of the facts which a benefit declares, as far as it still expects such."""
    types = {field.name: field.type for field in msgspec.structs.fields(struct)}
    found = dict[str, Any]()
    for fact in declared_facts(struct):
        if fact.name in kept:
            try:
                found[fact.name] = msgspec.convert(kept[fact.name], types[fact.name])
            except msgspec.ValidationError:
                continue  # a later edition expects another answer
    return found


def expected_answer(fact: DeclaredFact) -> Text:
    """Return what an answer to a question must be, in words."""
    match fact.type:
        case "bool":
            return Text(zh="请填写是（true）或否（false）", en="answer true or false")
        case "number":
            bounds = f"{fact.low} to {fact.high}"
            return Text(zh=f"须为{fact.low}至{fact.high}之间的整数", en=f"a whole number from {bounds}")
        case "money":
            return Text(zh=f"须为0至{yuan(fact.high)}元之间的金额，以分计", en=f"fen, from 0 to {fact.high}")
        case "words":
            words = labelled_words(fact.words, fact.labels)
            return Text(zh=f"须为以下之一：{words.zh}", en=f"one of {words.en}")
        case "text":
            return Text(zh=f"须填写1至{_MAX_TEXT}个字", en=f"a text of 1 to {_MAX_TEXT} characters")
        case "date":
            return Text(zh="须为日期，如2026-11-24", en="a date such as 2026-11-24")
        case "instant":
            return Text(zh="须为日期和时间，如2026-11-24T08:00:00+08:00", en="such as 2026-11-24T08:00:00+08:00")
        case "records":
            names = "、".join(one.meaning.zh for one in fact.fields)
            return Text(zh=f"每项须填写{names}", en=f"a list, each with {', '.join(one.name for one in fact.fields)}")
