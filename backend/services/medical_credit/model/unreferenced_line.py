"""Credits and adjustments that name no charge: HL7 v2 has no field for it before version 2.5."""

from msgspec import Struct
from msgspec.structs import replace

from backend.services.medical_credit.model import problems
from backend.services.medical_credit.model.visit import Line, Visit


class UnreferencedLine(Struct, frozen=True):
    """A credit or adjustment of a charge with this `code`; `hint` is the id of that charge, if the hospital sends it.

    The `of` of the line is not known yet.
    """

    line: Line
    code: str
    hint: str = ""


def referenced(visit: Visit, command: UnreferencedLine) -> Line:
    """Return the line with its charge: the one that the hint names, or else the only one that fits.

    A charge of the same amount fits better than a larger one. Raises UnknownLine, LineExceeded or AmbiguousLine.
    """
    line = command.line
    known = visit.line(line.id)
    if known is not None:
        return replace(line, of=known.of)
    charges = [one for one in visit.lines if one.of is None]
    named = [one for one in charges if command.hint and one.id == command.hint]
    of_code = named or [one for one in charges if one.code == command.code]
    if not of_code:
        raise problems.UnknownLine(
            zh=f"没有找到项目编码为{command.code}的费用明细。",
            en=f"The visit has no charge with the code {command.code}.",
            line=command.code,
        )
    fitting = [one for one in of_code if visit.net_fen(one.id) + line.amount_fen >= 0] or of_code
    same_amount = [one for one in fitting if visit.net_fen(one.id) == -line.amount_fen] or fitting
    if len(same_amount) > 1:
        raise problems.AmbiguousLine(
            zh=f"有多条项目编码为{command.code}的费用明细，请指明所退的明细号。",
            en=f"The visit has several charges with the code {command.code}; name the id of the one that is meant.",
        )
    return replace(line, of=same_amount[0].id)
