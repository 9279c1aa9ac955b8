"""The catalogue of checks: each code, what it finds, why it matters, and a module with and without the fault.

`chengma rules checks` prints it, and docs/rules/checks.md and checks.zh.md are made from it. To add a check, add one
entry to `CHECKS` in a module of this package; the modules are discovered.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Literal

from msgspec import Struct

from backend.i18n import Text


class Check(Struct, frozen=True):
    """One check of authors' files.

    `bad` and `good` are whole files: EXAMPLE (in `example.py`) with a change, or for another `file` its cases, its
    claims or a CertLogic rule. The bad example has this one fault, the good one has none. `saved_as` and `named` are
    the encoding and the file name of the bad example. A service has `needed` its module; what is `proved` needs
    the solver.

    A check that can be `silenced` in the file, with a reason, is about sense and style: the module can be evaluated.
    """

    code: str
    title: Text
    why: Text
    bad: str
    good: str
    file: Literal["module", "cases", "claims", "certlogic"] = "module"
    silenced: bool = False
    saved_as: str = "utf-8"
    named: str = "old_age.yaml"
    needed: bool = False
    proved: bool = False


@cache
def all_checks() -> Mapping[str, Check]:
    """Return every check by its code, in the order of the codes."""
    found: dict[str, Check] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        checks: tuple[Check, ...] = getattr(module, "CHECKS", ())
        for check in checks:
            assert check.code not in found, f"{check.code} is listed twice"
            found[check.code] = check
    return dict(sorted(found.items()))
