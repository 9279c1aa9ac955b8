"""Find values whose JSON type is not that of their element.

The models of `fhir.resources` convert what they read, such as the text "12.50" to a decimal. FHIR requires a JSON
number, and this interface reads amounts from the body, so that nothing but a number may be there.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import cast

from pydantic import BaseModel

from backend.problems import FieldError
from integrations.his.fhir.representation import Json


def find_type_errors(model: BaseModel, resource: Json, path: str) -> Iterator[FieldError]:
    """Yield the elements of a resource whose JSON type differs from that in its validated model."""
    for name, field in type(model).model_fields.items():
        key = field.alias or name
        if resource.get(key) is not None:
            yield from _errors_in(getattr(model, name), resource[key], f"{path}.{key}")


def _errors_in(value: object, given: object, path: str) -> Iterator[FieldError]:
    if isinstance(value, BaseModel):
        if isinstance(given, dict):
            yield from find_type_errors(value, cast("Json", given), path)
        return
    if isinstance(value, list) and isinstance(given, list):
        for index, (member, sent) in enumerate(
            zip(cast("list[object]", value), cast("list[object]", given), strict=False)
        ):
            yield from _errors_in(member, sent, f"{path}[{index}]")
        return
    name, types = _json_type(cast("object", value))
    if value is not None and (not isinstance(given, types) or isinstance(given, bool) is not isinstance(value, bool)):
        yield FieldError(path[:200], f"This must be a JSON {name}.")


def _json_type(value: object) -> tuple[str, tuple[type, ...]]:
    if isinstance(value, bool):
        return "boolean", (bool,)
    if isinstance(value, int):
        return "integer", (int,)
    return ("number", (int, Decimal)) if isinstance(value, Decimal) else ("string", (str,))
