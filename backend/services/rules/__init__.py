"""Rule modules as the law of the city: an author submits a release, and an approver puts it in force.

Releases and the one in force are in `backend.city.releases`, since every process follows them. Read `model` (who may
approve what, and the Problems), then `releases` (the checks and the acts), `reviews` (what the approver sees), then the
routes in `api`.
"""

from backend.city.service import Service, routes_of
from backend.i18n import Text
from backend.services.rules.api import approver, author, reader
from backend.services.rules.demo import demo
from backend.services.rules.model import RulebookApproval, RulebookReview

service = Service(
    name="rules",
    title=Text(zh="规则发布", en="Releases of rules"),
    routes=routes_of(author, approver, reader),
    documents=(RulebookReview, RulebookApproval),
    demo=demo,
    roles=["author", "approver", "auditor"],
    exclusive_roles=[("author", "approver")],
    acts={
        "rules.explained": Text(
            zh="查看了规则对您作出决定的说明", en="Read an explanation of what the rules decide about you"
        )
    },
    authorities={"author": Text(zh="规则编制部门", en="The authors of the rules")},
)
