"""What matching holds of a person that is theirs, and what it leaves out of the file that they may take along."""

from services.matching import store
from shared.exports import Kept, Row, routes

OPEN = "status in ('asked', 'questioned') and"
"""A request that is over has no words any more, only ids of the two."""


def request(row: Row, person: str) -> Row:
    """What they asked, or were asked; their own words in it."""
    mentee = row["mentee_id"] == person
    told = {name: row[name] for name in ("program", "status", "asked_at", "closes_at")}
    return told | {"as": "mentee" if mentee else "mentor", "wrote": row["reply" if mentee else "question"]}


UNSAID = frozenset({"revision", "erased", "audience", "places", "met", "personal_rules"})
"""Whom they met are others; what they said of whom they meet has a page whose link alone shows it, so that no forwarded mail does."""

KEPT = (
    Kept("profile", store.PEOPLE, "id = $1::uuid", UNSAID),
    Kept("requests_asked", store.REQUESTS, f"{OPEN} mentee_id = $1::uuid", own=request),
    Kept("requests_received", store.REQUESTS, f"{OPEN} mentor_id = $1::uuid", own=request),
)
LEFT_OUT = {
    "programs": "organizations' own",
    "relationships": "who is matched with whom, and why: scheduling's file has it",
    "runs": "organizations' own",
    "waitlisted": "of each run; what holds now stands with the person",
    "asked": "what organizations asked for, kept for thirty days",
    "wishes": "which requests are of one round",
    "audited": "counts",
}

export = routes(KEPT)
