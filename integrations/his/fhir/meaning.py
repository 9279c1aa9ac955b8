"""Refuse what may change the meaning of a resource and is not understood here, at any depth.

FHIR lets a sender mark such elements: rules under which the resource was made, and extensions that modify an element,
such as "this charge was not made". A receiver that ignores them may do the opposite of what was meant.
"""

from typing import cast

from backend.i18n import Text
from integrations.his.fhir.operation_outcome import Unprocessable, unprocessable

_IMPLICIT_RULES = ("implicitRules", "_implicitRules")


def require_plain_meaning(element: object, path: str) -> None:
    """Raise Unprocessable for `implicitRules`, a `modifierExtension` or another currency than CNY in an element."""
    waiting: list[tuple[object, str]] = [(element, path)]
    while waiting:
        one, where = waiting.pop()
        if isinstance(one, list):
            waiting.extend((member, f"{where}[{index}]") for index, member in enumerate(cast("list[object]", one)))
        elif isinstance(one, dict):
            for key, member in cast("dict[str, object]", one).items():
                _check_member(key, member, f"{where}.{key}"[:200])
                if isinstance(member, dict | list):
                    waiting.append((cast("object", member), f"{where}.{key}"))


def _check_member(key: str, member: object, where: str) -> None:
    if key == "modifierExtension":
        raise _not_understood(where, "extension")
    if key in _IMPLICIT_RULES:
        raise _not_understood(where, "not-supported")
    if key == "currency" and member not in (None, "CNY"):
        raise unprocessable(where, Text(zh="金额须为人民币（CNY）。", en="The currency must be CNY."))


def _not_understood(where: str, code: str) -> Unprocessable:
    text = Text(
        zh="请去掉此项：它会改变资源的含义，本系统不支持。",
        en="Leave this out: it changes the meaning of the resource, and is not supported.",
    )
    return unprocessable(where, text, code)
