"""The JSON schema of authors' files, for editors that know YAML but not our language server.

It is made from the keys that the readers accept. It cannot know facts, parameters or conditions; `check` does.
"""

from collections.abc import Mapping
from typing import Any

from backend.i18n import Text
from backend.rulebook.editor.keys import MEANINGS
from backend.rulebook.modules import keys
from backend.rulebook.modules.module import STRATEGIES

Schema = dict[str, Any]

_WORD = "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"
_NAME = "^[a-z][a-z0-9_]{0,63}$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*([+-][0-9]{2}:[0-9]{2}|Z)$"

TEXT: Schema = {"type": "string", "minLength": 1}
DAY: Schema = {"type": "string", "pattern": _DAY}
INSTANT: Schema = {"type": "string", "pattern": _INSTANT}


def _mapping(known: tuple[str, ...], optional: tuple[str, ...], values: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [key for key in known if key not in optional],
        "properties": {key: {"description": _description(MEANINGS[key]), **values.get(key, {})} for key in known},
    }


def _description(meaning: Text) -> str:
    return f"{meaning.zh} · {meaning.en}"
