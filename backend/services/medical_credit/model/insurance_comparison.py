"""Compare our settlements of a day with those of the insurance. Pure.

A difference of a visit that the hospital settled itself is for the hospital: the city cancels nothing there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from backend.i18n import Text, decimal_yuan
from backend.paylater.difference_texts import differing_text, repeated_text
from backend.services.medical_credit.facts import SettledBy
from backend.services.medical_credit.model.comparison import difference
from backend.services.medical_credit.model.reconciliation import Difference, RepairKind
from backend.services.medical_credit.model.visit import Settlement, Visit
from backend.services.medical_credit.ports import SettlementRecord

_SHARES = {
    "medfee_fen": Text(zh="医疗费总额", en="medical fee"),
    "fund_fen": Text(zh="基金支付", en="fund"),
    "account_fen": Text(zh="个人账户支付", en="personal account"),
    "cash_fen": Text(zh="个人现金", en="cash share"),
}


def compare_with_insurance(
    ours: Sequence[Visit],
    insured: Iterable[SettlementRecord],
    adjacent: Mapping[str, SettlementRecord],
    known: Mapping[str, Visit],
    settles: SettledBy = "city",
) -> Iterator[Difference]:
    """Yield the differences between our visits that were settled on a day and the insurance's settlements of it.

    `adjacent` are the insurance's settlements of the day before and the day after, by id: a settlement close to
    midnight may have another day here. `known` are our visits that any of them names, by id. If the hospital `settles`
    itself, the insurance also has settlements of its other patients.
    """
    known, mine = {**_by_registration(ours), **known}, _by_settlement(ours)
    theirs: dict[str, SettlementRecord] = {}
    for one in insured:
        if one.settlement_id in theirs:
            visit = known.get(one.visit) or mine.get(one.settlement_id)
            if visit is not None or settles == "city":
                yield _repeated(one, visit)
        theirs[one.settlement_id] = one
    for visit in ours:
        if visit.settlement is not None and visit.settlement.split.settlement_id:
            subject = visit.settlement.split.settlement_id
            record = theirs.pop(subject, None) or adjacent.get(subject)
            yield from _settlement_differences(visit, visit.settlement, record)
    for extra in theirs.values():
        visit = known.get(extra.visit)
        if visit is None and settles == "hospital":
            continue
        settled = visit.settlement if visit is not None else None
        if settled is None or settled.split.settlement_id != extra.settlement_id:
            yield _only_at_insurance(extra, visit)


def _by_registration(ours: Iterable[Visit]) -> dict[str, Visit]:
    """Return the visits that hospitals settled, by the insurance's number of their registration (mdtrt_id)."""
    return {
        visit.settlement.registration: visit
        for visit in ours
        if visit.settlement is not None and visit.settlement.registration
    }


def _by_settlement(ours: Iterable[Visit]) -> dict[str, Visit]:
    return {visit.settlement.split.settlement_id: visit for visit in ours if visit.settlement is not None}


def _repair_of(visit: Visit | None, repair: RepairKind) -> RepairKind:
    return repair if visit is None or visit.settled_by == "city" else "contact_hospital"


def _settlement_differences(
    visit: Visit, settlement: Settlement, record: SettlementRecord | None
) -> Iterator[Difference]:
    split = settlement.split
    where, subject = (visit.id, visit.number), split.settlement_id
    repair = _repair_of(visit, "settle_again")
    if record is None:
        if visit.settled_by == "hospital" and split.cash_fen == split.medfee_fen:
            return  # the patient is not insured, so the insurance has no settlement
        detail = Text(
            zh=f"就诊{visit.number}的结算{subject}我方有效，医保没有或已撤销。",
            en=f"Settlement {subject} of visit {visit.number} is in force here; the insurance does not have it or "
            "cancelled it.",
        )
        kind, fee_fen = "settlement_missing_at_insurance", split.medfee_fen
        yield difference(kind, where, subject, fee_fen, None, detail, repair=repair)
        return
    if record.visit != visit.id and (visit.settled_by == "city" or settlement.registration not in ("", record.visit)):
        detail = Text(
            zh=f"结算{subject}在我方属于就诊{visit.number}，在医保属于另一次就诊，可能是另一名患者。",
            en=f"Settlement {subject} belongs to visit {visit.number} here and to another visit at the insurance, "
            "perhaps of another patient.",
        )
        yield difference("insurance_visit_differs", where, subject, split.medfee_fen, record.medfee_fen, detail)
    what = [
        (title, decimal_yuan(getattr(split, name)), decimal_yuan(getattr(record, name)))
        for name, title in _SHARES.items()
        if getattr(split, name) != getattr(record, name)
    ]
    if what:
        detail = differing_text(_named(subject), what, Text(zh="医保", en="at the insurance"))
        amounts = split.cash_fen, record.cash_fen
        yield difference("insurance_split_differs", where, subject, *amounts, detail, repair=repair)


def _named(settlement_id: str) -> Text:
    return Text(zh=f"结算{settlement_id}", en=f"Settlement {settlement_id}")


def _only_at_insurance(extra: SettlementRecord, visit: Visit | None) -> Difference:
    where = (visit.id, visit.number) if visit is not None else (extra.visit, "-")
    subject = extra.settlement_id
    settled = visit.settlement if visit is not None else None
    repair = _repair_of(visit, "cancel_at_insurance")
    if settled is not None:
        number = settled.split.settlement_id or "-"
        detail = Text(
            zh=f"就诊{where[1]}在医保结算了两次：{number}和{subject}，我方只有前者。",
            en=f"Visit {where[1]} is settled twice at the insurance, as {number} and {subject}; "
            "only the first is ours.",
        )
        fee_fen = settled.split.medfee_fen
        kind = "settled_twice_at_insurance"
        return difference(kind, where, subject, fee_fen, extra.medfee_fen, detail, repair=repair)
    if visit is None:
        state = Text(zh="我方没有该就诊", en="the visit is unknown here")
    elif visit.cancelled_at is not None:
        state = Text(zh="我方已取消该就诊", en="the visit is cancelled here")
    else:
        state = Text(zh="我方尚未结算", en="the visit is not settled here")
    detail = Text(
        zh=f"医保有结算{subject}（{decimal_yuan(extra.medfee_fen)}元），{state.zh}。",
        en=f"The insurance has settlement {subject} of {decimal_yuan(extra.medfee_fen)} yuan; {state.en}.",
    )
    kind = "settlement_only_at_insurance"
    return difference(kind, where, subject, None, extra.medfee_fen, detail, repair=repair)


def _repeated(one: SettlementRecord, visit: Visit | None) -> Difference:
    where = (one.visit, visit.number if visit is not None else "-")
    list_of_day = Text(zh="医保当日清单", en="the insurance's list of the day")
    detail = repeated_text(_named(one.settlement_id), list_of_day, one.medfee_fen)
    ours_fen = one.medfee_fen if visit is not None and visit.settlement is not None else None
    kind = "settlement_repeated_at_insurance"
    return difference(kind, where, one.settlement_id, ours_fen, 2 * one.medfee_fen, detail)
