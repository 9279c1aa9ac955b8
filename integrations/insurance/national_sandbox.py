"""A sandbox of the national medical insurance interface that speaks its envelope over HTTP.

It keeps the books of `sandbox.py`, refuses a wrong signature or envelope, and misbehaves on demand: the outcomes of
`SandboxDatabase` apply to a transaction by its `infno`. `lost_before` and `lost_after` answer 504, `slow` after
`SLOW_SECONDS`, `hang` never, `refused` an error, `wrong` with shares that do not add up, `repeated` with the answer
to the message before.
"""

import asyncio
import base64
import hashlib
import sqlite3
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import msgspec

from backend.city.upstream import UpstreamRejected
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.ports import ClaimLine, InsuranceClaim, Split
from integrations._sandbox.database import CallOutcome
from integrations.insurance import envelope
from integrations.insurance.fee_lines import MAX_ID, full_id
from integrations.insurance.sandbox import SandboxInsurance
from integrations.insurance.signatures import SigningKeys

SLOW_SECONDS = 3.0
HANG_SECONDS = 3_600.0
_KINDS: dict[str, VisitKind] = {"11": "outpatient", "13": "emergency", "21": "inpatient"}
_FEN = Decimal("0.01")
_LINE_CODES = ("med_list_codg", "medins_list_codg", "chrg_bchno")

Members = dict[str, Any]


class Refusal(Exception):
    """The interface refuses a transaction, with the code that begins `err_msg`."""


class NationalSandbox:
    """Answers envelopes on the books of a sandbox; `keys` are those of the insurance."""

    def __init__(self, insurance: SandboxInsurance, keys: SigningKeys) -> None:
        self._insurance, self._database, self.keys = insurance, insurance.database, keys
        self._transactions: dict[str, Callable[[sqlite3.Connection, Members, Members], Members]] = {
            "1101": self._person,
            "2201": self._register,
            "2202": self._cancel_registration,
            "2203": self._describe_visit,
            "2204": self._add_lines,
            "2205": self._delete_lines,
            "2206": self._try,
            "2207": self._settle,
            "2208": self._cancel,
            "2301": self._add_lines,
            "2302": self._delete_lines,
            "2303": self._try,
            "2304": self._settle,
            "2305": self._cancel,
            "2401": self._register,
            "2601": self._reverse,
            "3201": self._totals,
            "3202": self._details,
            "9102": self._download,
        }

    async def answer(self, body: bytes) -> tuple[int, bytes]:
        """Return the status and body of the answer to a request."""
        members = await asyncio.to_thread(envelope.parse, body)
        fault = (
            "the body must be a JSON object"
            if members is None
            else await asyncio.to_thread(envelope.envelope_fault, members, self.keys)
        )
        if members is None or fault is not None:
            return 200, await asyncio.to_thread(self._signed, envelope.FAILURE, f"[E001]{fault}", {})
        outcome, content = await self._database.work(lambda connection: self._process(connection, members))
        if outcome in ("slow", "hang"):
            await asyncio.sleep(SLOW_SECONDS if outcome == "slow" else HANG_SECONDS)
        if outcome in ("lost_before", "lost_after"):
            return 504, b""
        code, text, output = content
        return 200, await asyncio.to_thread(self._signed, code, text, output)

    def _process(
        self, connection: sqlite3.Connection, members: Members
    ) -> tuple[CallOutcome, tuple[int, str, Members]]:
        """Perform a transaction once for each msgid, and return its outcome and answer."""
        code, message = str(members["infno"]), str(members["msgid"])
        digest = hashlib.sha256(msgspec.json.encode([code, members["input"]], order="deterministic")).hexdigest()
        outcome = self._database.outcome(connection, code)
        before = connection.execute("SELECT answer FROM insurance_messages ORDER BY place DESC LIMIT 1").fetchone()
        if outcome == "lost_before":
            return outcome, (envelope.FAILURE, "", {})
        self._database.note_call(connection, code, message)
        if outcome == "refused":
            return outcome, (envelope.FAILURE, "[E900]the interface refuses the transaction", {})
        known = connection.execute("SELECT * FROM insurance_messages WHERE id = ?", (message,)).fetchone()
        if known is not None and known["digest"] != digest:
            return outcome, (envelope.FAILURE, "[E002]the msgid was used for another message", {})
        if known is not None:
            return outcome, _decode(known["answer"])
        answer = self._perform(connection, code, members)
        row = (message, digest, _encode(answer).decode())
        connection.execute("INSERT INTO insurance_messages (id, digest, answer) VALUES (?, ?, ?)", row)
        if outcome == "repeated" and before is not None:
            return outcome, _decode(before["answer"])
        return outcome, _with_wrong_shares(answer) if outcome == "wrong" else answer

    def _perform(self, connection: sqlite3.Connection, code: str, members: Members) -> tuple[int, str, Members]:
        """Perform a transaction wholly or not at all."""
        connection.execute("SAVEPOINT before")
        try:
            return envelope.SUCCESS, "", self._transactions[code](connection, members, members["input"])
        except Refusal as refusal:
            text = str(refusal)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            text = "[E003]the input is incomplete"
        connection.execute("ROLLBACK TO before")
        return envelope.FAILURE, text, {}

    def _signed(self, code: int, text: str, output: Members) -> bytes:
        now = f"{self._database.clock():%Y%m%d%H%M%S}"
        number = f"330100{now}{int.from_bytes(hashlib.sha256(_encode(output)).digest()[:4]):010}"
        members = {"infcode": code, "inf_refmsgid": number, "refmsg_time": now, "respond_time": now}
        return envelope.signed({**members, "err_msg": text, "output": output}, self.keys)

    # ── people and visits ──

    def _person(self, connection: sqlite3.Connection, _members: Members, content: Members) -> Members:
        number = str(content["data"]["certno"])
        person = "33" + hashlib.sha256(f"psn_no\n{number}".encode()).hexdigest()[:28]
        connection.execute("INSERT OR IGNORE INTO insured_people VALUES (?, ?)", (person, number))
        balance = Decimal(self._insurance.balance(connection, number)).scaleb(-2)
        insured = {"insutype": "310", "balc": balance, "insuplc_admdvs": "330100", "psn_insu_stas": "1"}
        return {"baseinfo": {"psn_no": person, "psn_cert_type": "01"}, "insuinfo": [insured], "idetinfo": []}

    def _register(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        given = content["mdtrtinfo"] if members["infno"] == "2401" else content["data"]
        institution, person, number = members["fixmedins_code"], str(given["psn_no"]), str(given["ipt_otp_no"])
        known = connection.execute("SELECT 1 FROM insured_people WHERE psn_no = ?", (person,)).fetchone()
        if known is None or not 1 <= len(number) <= MAX_ID:
            raise Refusal("[E101]psn_no or ipt_otp_no is invalid")
        key = f"{institution}\n{person}\n{number}"
        visit = "3301" + hashlib.sha256(f"mdtrt_id\n{key}".encode()).hexdigest()[:26]
        row = (visit, institution, person, number, str(given.get("med_type") or "11"), full_id(number))
        connection.execute("INSERT OR REPLACE INTO insured_visits VALUES (?, ?, ?, ?, ?, ?)", row)
        registered = {"mdtrt_id": visit, "psn_no": person, "ipt_otp_no": number}
        return {"result": registered} if members["infno"] == "2401" else {"data": registered}

    def _cancel_registration(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        visit = self._visit(connection, members, content["data"])
        self._refuse_settled(connection, visit)
        connection.execute("DELETE FROM fee_lines WHERE visit = ?", (visit["id"],))
        connection.execute("DELETE FROM insured_visits WHERE id = ?", (visit["id"],))
        return {}

    def _describe_visit(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        self._visit(connection, members, content["mdtrtinfo"])
        return {}

    @staticmethod
    def _visit(connection: sqlite3.Connection, members: Members, content: Members) -> sqlite3.Row:
        query = "SELECT * FROM insured_visits WHERE id = ? AND institution = ? AND person = ?"
        values = (content["mdtrt_id"], members["fixmedins_code"], content["psn_no"])
        found = connection.execute(query, values).fetchone()
        if found is None:
            raise Refusal("[E102]there is no such registration")
        return found

    @staticmethod
    def _refuse_settled(connection: sqlite3.Connection, visit: sqlite3.Row) -> None:
        query = "SELECT 1 FROM settlements WHERE visit = ? AND state = 'in_force'"
        if connection.execute(query, (visit["visit"],)).fetchone() is not None:
            raise Refusal("[E103]the visit is settled; cancel the settlement first")

    # ── fee lines ──

    def _add_lines(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        results: list[Members] = []
        for line in content["feedetail"]:
            visit = self._visit(connection, members, line)
            self._refuse_settled(connection, visit)
            number, amount = str(line["feedetl_sn"]), Decimal(str(line["det_item_fee_sumamt"]))
            quantity, price = Decimal(str(line["cnt"])), Decimal(str(line["pric"]))
            datetime.strptime(str(line["fee_ocur_time"]), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  local time of the region
            if not 1 <= len(number) <= MAX_ID or not all(line.get(name) for name in _LINE_CODES):
                raise Refusal("[E201]a fee line has no number, code or batch")
            if amount <= 0 or amount != amount.quantize(_FEN) or abs(quantity * price - amount) >= _FEN:
                raise Refusal("[E202]the amount of a fee line is not quantity times price")
            row = (visit["id"], number, str(line["medins_list_codg"]), int(amount * 100))
            try:
                connection.execute("INSERT INTO fee_lines VALUES (?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise Refusal("[E203]a fee line is duplicated") from None
            results.append({"feedetl_sn": number, "det_item_fee_sumamt": amount, "cnt": quantity, "pric": price})
        return {"result": results}

    def _delete_lines(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        given = content["data"]
        for one in cast("list[Members]", given if isinstance(given, list) else [given]):
            visit = self._visit(connection, members, one)
            self._refuse_settled(connection, visit)
            line = str(one.get("feedetl_sn") or "0000")
            query = "DELETE FROM fee_lines WHERE visit = ? AND (? = '0000' OR number = ?)"
            connection.execute(query, (visit["id"], line, line))
        return {}

    # ── settlements ──

    def _claim(self, connection: sqlite3.Connection, members: Members, content: Members) -> InsuranceClaim:
        """Return the claim of a registered visit with its uploaded lines. Raises Refusal if the total is another."""
        visit = self._visit(connection, members, content)
        now = self._database.clock()
        rows = connection.execute("SELECT * FROM fee_lines WHERE visit = ? ORDER BY number", (visit["id"],)).fetchall()
        lines = tuple(ClaimLine(row["number"], row["code"], row["fen"], now) for row in rows)
        if sum(line.amount_fen for line in lines) != Decimal(str(content["medfee_sumamt"])) * 100:
            raise Refusal("[E301]medfee_sumamt is not the total of the fee lines")
        card = connection.execute("SELECT * FROM insured_people WHERE psn_no = ?", (visit["person"],)).fetchone()
        return InsuranceClaim(
            message_id=str(members["msgid"]),
            batch=str(content["chrg_bchno"]),
            visit=visit["visit"],
            hospital=visit["institution"].lstrip("0"),
            institution=visit["institution"],
            id_number=card["card"],
            kind=_KINDS[visit["type"]],
            opened_at=now,
            requested_at=now,
            lines=lines,
        )

    def _try(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        claim = self._claim(connection, members, content["data"])
        return {"setlinfo": _settlement(self._insurance.divide(connection, claim), content["data"], "")}

    def _settle(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        claim = self._claim(connection, members, content["data"])
        try:
            split = self._insurance.settle_claim(connection, claim)
        except UpstreamRejected as error:
            raise Refusal(f"[E302]{error}") from error
        return {"setlinfo": _settlement(split, content["data"], split.settlement_id), "setldetail": []}

    def _cancel(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        data = content["data"]
        visit = self._visit(connection, members, data)
        query = "SELECT * FROM settlements WHERE id = ? AND visit = ?"
        if connection.execute(query, (data["setl_id"], visit["visit"])).fetchone() is None:
            raise Refusal("[E303]there is no such settlement")
        self._insurance.cancel_in_books(connection, str(data["setl_id"]))
        return {"setlinfo": {"setl_id": data["setl_id"], "mdtrt_id": visit["id"]}}

    def _reverse(self, connection: sqlite3.Connection, _members: Members, content: Members) -> Members:
        message = str(content["data"]["omsgid"])
        if content["data"]["oinfno"] not in ("2207", "2304"):
            raise Refusal("[E304]only a settlement can be reversed")
        self._insurance.reverse_in_books(connection, message)
        connection.execute("DELETE FROM insurance_messages WHERE id = ?", (message,))
        return {}

    # ── reconciliation ──

    def _totals(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        rows = self._settled(connection, members, content["data"])
        totals = {"setl_optins": "330100", "stmt_rslt": "0", "fixmedins_setl_cnt": str(len(rows))}
        return {"stmtinfo": totals | {"medfee_sumamt": Decimal(sum(row["medfee"] for row in rows)).scaleb(-2)}}

    def _details(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        count = len(self._settled(connection, members, content["data"]))
        return {"fileinfo": {"file_qury_no": f"{content['data']['stmt_begndate']}.{count}", "filename": "result.txt"}}

    def _download(self, connection: sqlite3.Connection, members: Members, content: Members) -> Members:
        names = "setl_id mdtrt_id psn_no ipt_otp_no med_type medfee_sumamt fund_pay_sumamt acct_pay acct_mulaid_pay"
        rows = [[*names.split(), "psn_cash_pay"]]
        for row in self._settled(connection, members, content["fsDownloadIn"]):
            fen = (row["medfee"], row["fund"], row["account"], row["family"], row["cash"])
            keys = (row["id"], row["registration"], row["psn_no"], row["number"], row["type"])
            rows.append([*keys, *(str(Decimal(one).scaleb(-2)) for one in fen)])
        text = "\n".join("\t".join(row) for row in rows)
        return {"content": base64.b64encode(text.encode()).decode()}

    def _settled(self, connection: sqlite3.Connection, members: Members, period: Members) -> list[sqlite3.Row]:
        """Return the settlements of an institution in force, of the days of a period."""
        query = """SELECT settlements.*, insured_visits.id AS registration, insured_visits.person AS psn_no,
            insured_visits.number, insured_visits.type FROM settlements
            JOIN insured_visits ON insured_visits.visit = settlements.visit
            WHERE insured_visits.institution = ? AND state = 'in_force' ORDER BY settlements.id"""
        first, last = period["stmt_begndate"], period["stmt_enddate"]
        rows = connection.execute(query, (members["fixmedins_code"],)).fetchall()
        return [row for row in rows if first <= self._day(row["at"]) <= last]

    def _day(self, at: str) -> str:
        return self._insurance.local_day(datetime.fromisoformat(at)).isoformat()


def _settlement(split: Split, terms: Members, settlement_id: str) -> Members:
    """Return the setlinfo of a settlement, or of a trial without an id."""
    fen = {
        "medfee_sumamt": split.medfee_fen,
        "fund_pay_sumamt": split.fund_fen,
        "hosp_part_amt": split.hospital_part_fen,
        "psn_part_amt": split.person_fen(),
        "acct_pay": split.account_fen,
        "acct_mulaid_pay": split.family_account_fen,
        "psn_cash_pay": split.cash_fen,
    }
    amounts = {name: Decimal(one).scaleb(-2) for name, one in fen.items()}
    return {"setl_id": settlement_id, "mdtrt_id": terms["mdtrt_id"], "psn_no": terms["psn_no"], **amounts}


def _with_wrong_shares(answer: tuple[int, str, Members]) -> tuple[int, str, Members]:
    """Return an answer whose cash is a fen too high, if it is a settlement."""
    code, text, output = answer
    if "setlinfo" not in output:
        return answer
    shares = output["setlinfo"]
    return code, text, {**output, "setlinfo": {**shares, "psn_cash_pay": Decimal(str(shares["psn_cash_pay"])) + _FEN}}


_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(tuple[int, str, Members], float_hook=Decimal).decode
