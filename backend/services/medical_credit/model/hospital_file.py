"""The file in which a hospital reports its visits once a day, and our records in the same format.

CSV with a header line, in UTF-8 (with or without a byte order mark) or GB18030; amounts in yuan with two places:

```
visit,record,id,of,code,amount,fund,account,cash,day,patient
V1,charge,L1,,110100001,50.00,,,,2026-03-02,
V1,credit,C1,L1,,-10.00,,,,2026-03-02,
V1,settlement,6f1c...,,,40.00,24.00,10.00,6.00,2026-03-02,330106...
V1,counter,P1,,,6.00,,,,2026-03-02,
```

`record` is `charge`, `credit`, `adjustment`, `settlement` (`id` is the id of the insurance settlement, `amount` the
medical fee) or `counter` (a payment at the hospital's counter). A hospital whose visits the city settles may leave out
settlements, or their ids. A visit is listed in the file of the day on which it was settled. `account` includes the
family account. A settlement with the same id and the opposite amounts cancels it; likewise a counter payment.
The columns `day` and `patient` (the number of the identity document) may be missing or empty; what they hold is
compared. Our own file leaves `patient` empty.

In our own file, a text that a spreadsheet would run as a formula has an apostrophe in front. A hospital's file is read
as it is.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import cast
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.csv_cells import text_cell
from backend.i18n import decimal_yuan
from backend.problems import FieldError, Problem
from backend.services.medical_credit.model.visit import LineKind, Visit, split_identifier
from backend.services.medical_credit.ports import SettlementRecord

COLUMNS = ("visit", "record", "id", "of", "code", "amount", "fund", "account", "cash")
OPTIONAL_COLUMNS = ("day", "patient")
MAX_ROWS = 500_000
MAX_FAULTS = 20

ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}
"""The encodings of a file, by the names under which senders know them."""

RECORDS = ("charge", "credit", "adjustment", "settlement", "counter")
NO_SETTLEMENT = "-"
"""The id of a settlement that the insurance did not number, or whose number the hospital does not know."""

_YUAN = re.compile(r"(-?)(\d{1,10})\.(\d{2})", re.ASCII)
_MAX_NAME = 64 + 1 + 200
"""A number and its identifier system, as `system|number`."""


class InvalidFile(Problem):
    """The hospital's file has format errors; `errors` name rows and columns."""

    status = 422


class FiledLine(Struct, frozen=True, gc=False):
    """A line of a visit in the hospital's records or in ours; `day` is None if the file does not tell it."""

    id: str
    record: LineKind
    of: str
    code: str
    amount_fen: int
    day: date | None = None


class FiledPayment(Struct, frozen=True, gc=False):
    """A payment at the counter in the hospital's records or in ours."""

    id: str
    amount_fen: int
    day: date | None = None


class FiledSettlement(Struct, frozen=True, gc=False):
    """A settlement of a visit in the hospital's records or in ours; `account_fen` includes the family account."""

    id: str
    medfee_fen: int
    fund_fen: int
    account_fen: int
    cash_fen: int
    day: date | None = None


class FiledVisit(Struct):
    """A visit in the hospital's records or in ours.

    `settlements` are those in force, more than one if the file repeats one or has several, and `cancelled` those that
    the hospital cancelled. `repeated_lines` and `repeated_payments` are the ids of rows that the file has again.
    `patients` are the numbers of identity documents that the rows name.
    """

    lines: dict[str, FiledLine] = {}
    settlements: list[FiledSettlement] = []
    cancelled: list[FiledSettlement] = []
    payments: dict[str, FiledPayment] = {}
    repeated_lines: list[str] = []
    repeated_payments: list[str] = []
    patients: set[str] = set()


def decode_file(content: bytes, encoding: str | None = None) -> str:
    """Return the text of a file; without an encoding UTF-8 is tried first, then GB18030, which includes GBK.

    Raises InvalidFile with the row that is in neither.
    """
    tried = ["utf-8", "gb18030"] if encoding is None else [ENCODINGS[encoding]]
    fault: UnicodeDecodeError | None = None
    for one in tried:
        try:
            return content.decode(one)
        except UnicodeDecodeError as error:
            fault = error if fault is None or error.start > fault.start else fault
    assert fault is not None, "an encoding was tried"
    row = content.count(b"\n", 0, fault.start) + 1
    raise _invalid([FieldError(f"row {row}", f"is not in {' or '.join(tried)}")])


def read_file(text: str) -> dict[str, FiledVisit]:
    """Return the visits of a hospital's file by number. Raises InvalidFile, which lists at most twenty faults."""
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    faults: list[FieldError] = []
    found: dict[str, FiledVisit] = {}
    try:
        columns = tuple(value.strip() for value in next(rows, ()))
        if columns[: len(COLUMNS)] != COLUMNS or not set(columns[len(COLUMNS) :]) <= set(OPTIONAL_COLUMNS):
            expected = f"{','.join(COLUMNS)}, and then {' or '.join(OPTIONAL_COLUMNS)} or both"
            raise _invalid([FieldError("row 1", f"the columns must be {expected}")])
        for number, row in enumerate(rows, 2):
            if len(faults) >= MAX_FAULTS:
                break
            if number > MAX_ROWS:
                faults.append(FieldError(f"row {number}", f"a file can have at most {MAX_ROWS:,} rows"))
                break
            if row:
                _read_row(columns, row, f"row {number}", found, faults)
    except csv.Error as error:
        faults.append(FieldError(f"row {rows.line_num}", str(error)))
    if faults:
        raise _invalid(faults)
    return found


def _invalid(faults: Sequence[FieldError]) -> InvalidFile:
    return InvalidFile(
        zh="对账文件格式有误，请按所列的行和列更正后重新提交。",
        en="The hospital's file has errors; correct the listed rows and columns and submit it again.",
        errors=tuple(faults),
    )


def _read_row(
    columns: Sequence[str], row: list[str], where: str, found: dict[str, FiledVisit], faults: list[FieldError]
) -> None:
    if not len(COLUMNS) <= len(row) <= len(columns):
        faults.append(FieldError(where, f"has {len(row)} columns, not {len(columns)}"))
        return
    values = {"day": "", "patient": ""} | dict(zip(columns, (value.strip() for value in row), strict=False))
    if values["record"] == "settlement" and not values["id"]:
        values["id"] = NO_SETTLEMENT
    before = len(faults)
    faults.extend(
        FieldError(f"{where}, {column}", f"must have 1 to {_MAX_NAME} characters")
        for column in ("visit", "id")
        if not 1 <= len(values[column]) <= _MAX_NAME
    )
    if values["record"] not in RECORDS:
        faults.append(FieldError(f"{where}, record", f"must be one of {', '.join(RECORDS)}"))
    amounts = ("amount", "fund", "account", "cash") if values["record"] == "settlement" else ("amount",)
    fen = [_fen(values[column], f"{where}, {column}", faults) for column in amounts]
    day = _day(values["day"], f"{where}, day", faults)
    if len(faults) == before:
        _add_row(found.setdefault(values["visit"], FiledVisit()), values, fen, day)


def _add_row(visit: FiledVisit, values: Mapping[str, str], fen: Sequence[int], day: date | None) -> None:
    record, key = values["record"], values["id"]
    if values["patient"]:
        visit.patients.add(values["patient"])
    if record == "settlement":
        _add_settlement(visit, FiledSettlement(key, fen[0], fen[1], fen[2], fen[3], day))
    elif record == "counter":
        _add_payment(visit, FiledPayment(key, fen[0], day))
    elif key in visit.lines:
        visit.repeated_lines.append(key)
    else:
        visit.lines[key] = FiledLine(key, cast("LineKind", record), values["of"], values["code"], fen[0], day)


def _add_payment(visit: FiledVisit, row: FiledPayment) -> None:
    """Add a payment at the counter, or withdraw the one with the opposite amount."""
    known = visit.payments.get(row.id)
    if known is not None and row.amount_fen < 0 and known.amount_fen == -row.amount_fen:
        del visit.payments[row.id]
    elif known is not None:
        visit.repeated_payments.append(row.id)
    else:
        visit.payments[row.id] = row


def _add_settlement(visit: FiledVisit, row: FiledSettlement) -> None:
    """Add a settlement, or cancel the one with the opposite amounts."""
    for one in visit.settlements:
        if one.id == row.id and row.medfee_fen < 0 and shares_of(one) == tuple(-fen for fen in shares_of(row)):
            visit.settlements.remove(one)
            visit.cancelled.append(one)
            return
    visit.settlements.append(row)


def shares_of(one: FiledSettlement | SettlementRecord) -> tuple[int, int, int, int]:
    """Return the medical fee and the shares of fund, account and cash, in fen."""
    return one.medfee_fen, one.fund_fen, one.account_fen, one.cash_fen


def _fen(text: str, where: str, faults: list[FieldError]) -> int:
    found = _YUAN.fullmatch(text)
    if found is None:
        faults.append(FieldError(where, "must be an amount in yuan with two decimal places, such as 12.50"))
        return 0
    sign, whole, part = found.groups()
    return int(f"{sign}{whole}{part}")


def _day(text: str, where: str, faults: list[FieldError]) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        faults.append(FieldError(where, "must be a day such as 2026-03-02, or empty"))
        return None


def our_record(visit: Visit, zone: ZoneInfo) -> FiledVisit:
    """Return our record of a visit, with the days in the city's time zone."""

    def day(at: datetime) -> date:
        return at.astimezone(zone).date()

    settled = visit.settlement
    return FiledVisit(
        lines={
            line.id: FiledLine(line.id, line.kind, line.of or "", line.code, line.amount_fen, day(line.at))
            for line in visit.lines
        },
        settlements=[]
        if settled is None
        else [
            FiledSettlement(
                settled.split.settlement_id or NO_SETTLEMENT,
                settled.split.medfee_fen,
                settled.split.fund_fen,
                settled.split.account_fen + settled.split.family_account_fen,
                settled.split.cash_fen,
                day(settled.settled_at or settled.at),
            )
        ],
        payments={
            one.id: FiledPayment(one.id, one.amount_fen, day(one.at))
            for one in visit.counter_payments
            if one.withdrawn_at is None
        },
    )


def with_systems(filed: FiledVisit, ours: FiledVisit) -> FiledVisit:
    """Return a visit of the hospital's file with the ids of our records; the file may leave out identifier systems."""
    lines, payments = _our_ids(filed.lines, ours.lines), _our_ids(filed.payments, ours.payments)
    if not lines and not payments:
        return filed
    return replace(
        filed,
        lines={
            lines.get(key, key): replace(line, id=lines.get(key, key), of=lines.get(line.of, line.of))
            for key, line in filed.lines.items()
        },
        payments={
            payments.get(key, key): replace(paid, id=payments.get(key, key)) for key, paid in filed.payments.items()
        },
        repeated_lines=[lines.get(key, key) for key in filed.repeated_lines],
        repeated_payments=[payments.get(key, key) for key in filed.repeated_payments],
    )


def _our_ids(filed: Collection[str], ours: Collection[str]) -> dict[str, str]:
    """Return our id for each id of the file that one of ours alone has in another identifier system."""
    found: dict[str, list[str]] = {}
    for one in ours:
        system, value = split_identifier(one)
        if system and value in filed and value not in ours and one not in filed:
            found.setdefault(value, []).append(one)
    return {value: same[0] for value, same in found.items() if len(same) == 1}


def write_file(visits: Iterable[Visit], zone: ZoneInfo) -> str:
    """Return our records of visits in the hospital's format."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow((*COLUMNS, *OPTIONAL_COLUMNS))
    for visit in visits:
        number, ours = text_cell(visit.number), our_record(visit, zone)
        for line in ours.lines.values():
            names = map(text_cell, (line.id, line.of, line.code))
            rows.writerow([number, line.record, *names, decimal_yuan(line.amount_fen), "", "", "", line.day, ""])
        for settled in ours.settlements:
            key = settled.id if settled.id == NO_SETTLEMENT else text_cell(settled.id)
            rows.writerow([number, "settlement", key, "", "", *map(decimal_yuan, shares_of(settled)), settled.day, ""])
        for paid in ours.payments.values():
            amount = decimal_yuan(paid.amount_fen)
            rows.writerow([number, "counter", text_cell(paid.id), "", "", amount, "", "", "", paid.day, ""])
    return text.getvalue()
