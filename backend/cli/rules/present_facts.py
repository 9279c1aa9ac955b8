"""The present facts of a person for an officer at the city's machine; the person sees that they were read."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from msgspec.structs import replace

from backend.city.audit_log import city_act, record_act
from backend.city.person import Person
from backend.city.service import discover_services
from backend.cli.in_city import run_in_city
from backend.cli.language import AuthorError
from backend.i18n import Text
from backend.store import Index

if TYPE_CHECKING:
    from msgspec import Struct

    from backend.city.service import City, FactsOf

_BY_CODE = Index(("code_id",))
_ID_NUMBER = re.compile(r"[0-9]{17}[0-9Xx]")


def read_present_facts(module: str, named: str) -> Struct:
    """Return the facts that a module would now read of a person, who is named by the city's id or the id of their code.

    The read is in the audit log before the facts are returned. Raises AuthorError if there are none.
    """
    if _ID_NUMBER.fullmatch(named):
        raise AuthorError(
            Text(
                zh="这是身份证号；请填写本市的人员编号（见预览的样例和审计日志）或其码的编号",
                en="this is an identity card's number: give the city's id of the person, as in the samples of a "
                "preview and in the audit log, or the id of their code",
            )
        )
    found = next((facts for name, facts in _declared().items() if fnmatchcase(module, name)), None)
    if found is None:
        raise AuthorError(
            Text(
                zh=f"{module} 不是对本市在册人员作出决定的模块；请用 --facts",
                en=f"{module} does not decide about a person whom the city keeps; use --facts",
            )
        )

    async def read(city: City) -> Struct | None:
        person = await _person_id(city, named)
        if person is None:
            raise AuthorError(
                Text(
                    zh="没有此编号的人，也没有此编号的码；人员编号见预览的样例和审计日志，"
                    "不是账号的编号（/v1/me 的 id）",
                    en="no person has this id, and no code has it; the samples of a preview and the audit log have "
                    "ids, not those of accounts (`id` of /v1/me)",
                )
            )
        act = city_act("rules.explained", person, city.now(), module)
        await record_act(city, replace(act, person=person))
        return await found(city, person)

    facts = run_in_city(read)
    if facts is None:
        raise AuthorError(
            Text(zh=f"本市没有此人用于 {module} 的事实", en=f"the city has no facts of this person for {module}")
        )
    return facts


def _declared() -> dict[str, FactsOf]:
    return {name: facts for service in discover_services() for name, facts in service.present_facts.items()}


async def _person_id(city: City, named: str) -> str | None:
    if await city.store.get(Person, named) is not None:
        return named
    for kind in city.documents:
        if _BY_CODE in kind.indexes:
            page = await city.store.find(kind, {"code_id": named}, limit=1)
            if page.documents:
                return page.documents[0].id
    return None
