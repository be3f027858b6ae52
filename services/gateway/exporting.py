"""What the gateway holds of a person that is theirs, and what it leaves out of the file that they may take along."""

from services.gateway import store
from shared.exports import Kept, Row, routes


def named(row: Row, _: str) -> Row:
    """Whom a mentee named: when, and what came of it. The address itself isn't kept, and who it is has a page of their own."""
    return {"named": [{name: one[name] for name in ("program", "status", "at")} for one in row["named"]]}


KEPT = (
    Kept("profile", store.PEOPLE, "id = $1::uuid", frozenset({"revision", "erased"})),
    Kept("nominations", store.NOMINATIONS, "id = $1::uuid", own=named),
)
LEFT_OUT = {
    "organizations": "organizations' own",
    "keys": "organizations' own",
    "programs": "organizations' own",
    "relationships": "a copy of who is matched with whom: scheduling's file has it",
    "intakes": "ids of what organizations posted, kept for a while; what it said stands with the person",
    "chores": "when the service tidies up",
}

export = routes(KEPT)
