"""The JSON schema of authors' files, for editors that know YAML but not our language server.

It is made from the keys that the readers accept. It cannot know facts, parameters or conditions: `check` does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.rulebook.editor.keys import MEANINGS
from backend.rulebook.modules import keys
from backend.rulebook.modules.module import STRATEGIES
from backend.rulebook.modules.module_document import SOURCES, TABLE
from backend.rulebook.prover.claim_reader import (
    CLAIM_KEYS,
    CLAIMS_FILE_KEYS,
    OPTIONAL_CLAIMS_FILE_KEYS,
    REQUIRED_CLAIM_KEYS,
)

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_DAY: Schema = {"type": "string", "pattern": r"^([0-9]{4}-[0-9]{2}-[0-9]{2}|<.+>)$"}
_INSTANT: Schema = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*([+-][0-9]{2}:[0-9]{2}|Z)$"}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_LIST_OF_TEXTS: Schema = {"type": "array", "items": _TEXT, "minItems": 1}


def _mapping(known: Sequence[str], optional: Sequence[str], values: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [key for key in known if key not in optional],
        "properties": {key: {**_described(key), **values.get(key, {})} for key in known},
    }


def _described(key: str) -> Schema:
    meaning = MEANINGS.get(key)
    return {"description": f"{meaning.zh} · {meaning.en}"} if meaning is not None else {}


def _named(values: Schema) -> Schema:
    """Return the schema of a mapping whose keys are names."""
    return {"type": "object", "additionalProperties": values}


_SENTENCE = _mapping(keys.TEXT_KEYS, (), dict.fromkeys(keys.TEXT_KEYS, _TEXT))
_PERIOD = {"from": _DAY, "until": _DAY}
_ARTICLES: Schema = {"oneOf": [_TEXT, _LIST_OF_TEXTS]}
_VALUES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": _mapping(keys.VALUE_KEYS, keys.OPTIONAL_VALUE_KEYS, {**_PERIOD, "source": _TEXT, "article": _ARTICLES}),
}
_ARTICLE = _mapping(keys.ARTICLE_KEYS, keys.OPTIONAL_ARTICLE_KEYS, {"title": _SENTENCE, "not_encoded": _SENTENCE})
_FACT = _mapping(
    keys.FACT_KEYS,
    [key for key in keys.FACT_KEYS if key not in keys.REQUIRED_FACT_KEYS],
    {
        "meaning": _SENTENCE,
        "words": {"oneOf": [_LIST_OF_TEXTS, _named(_SENTENCE)]},
        "fields": {"type": "object"},
        "from": _TEXT,
    },
)
_RULE_VALUES: dict[str, Schema] = {
    **_PERIOD,
    "id": _TEXT,
    "when": {"type": ["string", "boolean"]},
    "then": _SCALAR,
    "because": _SENTENCE,
    "remedy": _SENTENCE,
    "source": _TEXT,
    "article": _ARTICLES,
}
_RULE = _mapping(keys.RULE_KEYS, keys.OPTIONAL_RULE_KEYS, _RULE_VALUES)
_TABLE: Schema = {
    **_mapping((*keys.RULE_KEYS, TABLE), keys.RULE_KEYS, _RULE_VALUES),
    "required": [TABLE],
}
_TABLE["properties"][TABLE] = {**_described(TABLE), "type": "array", "minItems": 1, "items": {"type": "object"}}

_MODULE = _mapping(
    (*keys.MODULE_KEYS, SOURCES),
    (*keys.OPTIONAL_MODULE_KEYS, SOURCES),
    {
        "module": _TEXT,
        "title": _SENTENCE,
        "facts": {
            "oneOf": [_TEXT, {"type": "object", "properties": {"extends": _TEXT}, "additionalProperties": _FACT}]
        },
        "result": {"oneOf": [_LIST_OF_TEXTS, _mapping(keys.BOUNDS_KEYS, (), dict.fromkeys(keys.BOUNDS_KEYS, _SCALAR))]},
        "strategy": {"enum": list(STRATEGIES)},
        "articles": _named(
            _mapping(keys.ORDER_KEYS, (), {"title": _SENTENCE, "source": _TEXT, "articles": _named(_ARTICLE)})
        ),
        "terms": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "parameters": _named(
            {
                "if": {"type": "array"},
                "then": _VALUES,
                "else": _mapping(
                    keys.PARAMETER_KEYS,
                    keys.OPTIONAL_PARAMETER_KEYS,
                    {"label": _SENTENCE, "unit": _TEXT, "values": _VALUES},
                ),
            }
        ),
        "rules": {
            "type": "array",
            "minItems": 1,
            "items": {"if": {"required": [TABLE]}, "then": _TABLE, "else": _RULE},
        },
        "otherwise": _mapping(
            keys.OTHERWISE_KEYS,
            keys.OPTIONAL_OTHERWISE_KEYS,
            {"then": _SCALAR, "because": _SENTENCE, "remedy": _SENTENCE},
        ),
        SOURCES: _named(_TEXT),
    },
)
_CASE = _mapping(
    keys.CASE_KEYS,
    keys.OPTIONAL_CASE_KEYS,
    {
        "case": _TEXT,
        "at": _INSTANT,
        "on": _DAY,
        "given": {"type": "object"},
        "expect": {
            "if": {"type": "object"},
            "then": {**_mapping(keys.EXPECTED_KEYS, keys.EXPECTED_KEYS, {}), "minProperties": 1},
        },
    },
)
_CASES = _mapping(
    keys.CASES_FILE_KEYS,
    keys.OPTIONAL_CASES_FILE_KEYS,
    {"module": _TEXT, "cases": {"type": "array", "minItems": 1, "items": _CASE}, "personas": {"type": "object"}},
)
_CLAIMS = _mapping(
    CLAIMS_FILE_KEYS,
    OPTIONAL_CLAIMS_FILE_KEYS,
    {
        "module": _TEXT,
        "best": _TEXT,
        "claims": {
            "type": "array",
            "minItems": 1,
            "items": _mapping(
                CLAIM_KEYS,
                [key for key in CLAIM_KEYS if key not in REQUIRED_CLAIM_KEYS],
                {"id": _TEXT, "name": _SENTENCE, "source": _TEXT, **_PERIOD},
            ),
        },
    },
)


def schema() -> Schema:
    """Return the schema of a rule module, a file of cases or a file of claims."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Chengma rules",
        "if": {"required": ["cases"]},
        "then": _CASES,
        "else": {"if": {"required": ["claims"]}, "then": _CLAIMS, "else": _MODULE},
    }
