"""What the talent code holds on a person."""

from collections.abc import AsyncIterator

from backend.benefits.personal_data import PUBLIC_MONEY, open_claims, with_last_claim
from backend.city.personal_data import by_retention, naming_person, of_person, once_settled
from backend.city.service import City, PersonalData, PersonalRecords, Subject
from backend.i18n import Text
from backend.services.talent_code.facts import BenefitTerms
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.redemption import Usage, usage_id
from backend.services.talent_code.model.talent import Talent


async def _usages(city: City, subject: Subject) -> AsyncIterator[Usage]:
    """Find the uses of this and the last year; older ones have ended."""
    if subject.person is None:
        return
    prefix, year = BenefitTerms.module_prefix, city.today().year
    benefits = [name.removeprefix(prefix) for name in city.rulebook.modules if name.startswith(prefix)]
    ids = [usage_id(subject.person, benefit, each) for benefit in benefits for each in (year - 1, year)]
    for usage in (await city.store.get_many(Usage, ids)).values():
        yield usage


def _without_evidence(talent: Talent) -> Talent:
    """Return a talent who only remembers past claims: no class is left to review, and no registry to ask."""
    reduced = Talent(
        id=talent.id,
        revision=talent.revision,
        code_id=talent.code_id,
        born_at=talent.born_at,
        past_claims=talent.past_claims,
    )
    return talent if reduced == talent else reduced


personal_data = PersonalData(
    records=[
        PersonalRecords(
            kind=Usage,
            title=Text(zh="权益使用记录", en="Uses of services"),
            kept=Text(zh="当年结束后按规定期限保留。", en="For the period of law after the year."),
            find=_usages,
            keep_until=by_retention,
            reason=Text(zh="用于计算当年已用次数。", en="They count what was used in the year."),
        ),
        PersonalRecords(
            kind=Talent,
            title=Text(zh="人才类别和申报材料", en="Talent class and qualifications"),
            kept=Text(zh="保留至账户注销且没有申领须保留。", en="Until the account is closed and no claim is kept."),
            find=of_person(Talent),
            correct=Text(
                zh="可删除申报后重新申报；核实结果由主管部门更正。",
                en="Remove a qualification and declare it again; the registry corrects what it confirmed.",
            ),
            hidden=("code_id", "account", "card", "former_cards"),
            keep_until=with_last_claim(Claim),
            reduced=_without_evidence,
            reason=PUBLIC_MONEY,
        ),
        PersonalRecords(
            kind=Claim,
            title=Text(zh="补贴申领", en="Claims to benefits"),
            kept=Text(
                zh="款项结清后按规定期限保留。", en="For the period of law once nothing is to be paid or paid back."
            ),
            find=naming_person(Claim, "subject"),
            correct=Text(zh="可在期限内申诉。", en="Appeal within the time limit."),
            hidden=("account", "officer_views", "entry", "waitlist"),
            keep_until=once_settled,
            reason=PUBLIC_MONEY,
        ),
    ],
    open_matters=open_claims(Claim),
)
