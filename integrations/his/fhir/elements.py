"""Read elements of resources, such as Money and instants, and report faults with their FHIRPath."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from backend.i18n import Text
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.operation_outcome import Unprocessable, unprocessable, unprocessable_element
from integrations.his.fhir.representation import Json


def locate_errors(parse: Callable[..., Any], paths: Mapping[str, str]) -> Callable[..., Any]:
    """Return `parse` with every Unmappable turned into Unprocessable at the FHIRPath that `paths` gives."""

    def parse_with_paths(*arguments: Any) -> Any:  # noqa: ANN401  those of `parse`
        try:
            return parse(*arguments)
        except mapping.Unmappable as error:
            raise unprocessable_element(error, paths[error.element]) from error

    return parse_with_paths


def objects_in(parent: object, name: str) -> list[Json]:
    """Return the objects in the list element `name`; an empty list if there is none."""
    listed: object = cast("Json", parent).get(name) if isinstance(parent, dict) else None
    if not isinstance(listed, list):
        return []
    return [cast("Json", one) for one in cast("list[object]", listed) if isinstance(one, dict)]


def money_value(money: Json, path: str) -> Decimal | int | None:
    """Return the value of a Money at a FHIRPath, in yuan. Raises Unprocessable for another currency."""
    if money.get("currency") not in (None, "CNY"):
        text = Text(zh="金额须为人民币（CNY）。", en="The currency must be CNY.")
        raise unprocessable(f"{path}.currency", text)
    value = money.get("value")
    if value is not None and not isinstance(value, Decimal | int):
        raise unprocessable(f"{path}.value", Text(zh="金额须为JSON数字。", en="The amount must be a JSON number."))
    return value


def instant_in(context: RequestContext, text: object, element: mapping.Element) -> datetime | None:
    """Return the instant of an element, or None if it is missing. Raises Unmappable."""
    return None if text is None else mapping.parse_instant(str(text), context.time_zone, element)


def unsupported_status(resource_type: str) -> Unprocessable:
    """Return the Problem for a status that is not supported."""
    text = Text(zh="不支持该状态。", en="This status is not supported.")
    return unprocessable(f"{resource_type}.status", text, "not-supported")
