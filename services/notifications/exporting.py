"""What notifications holds of a person that is theirs, and what it leaves out of the file that they may take along."""

from services.notifications import store
from shared.exports import Kept, routes

OF_OTHERS = frozenset(
    {
        "revision",
        "person_id",
        "organization",
        "audience",
        "data",
        "correlation",
        "traceparent",
        "fact_id",
        "joins",
        "begun",
        "again_at",
    }
)
"""`data` has ids of others; what a mail said was in the mail."""

KEPT = (
    Kept("profile", store.PEOPLE, "id = $1::uuid", frozenset({"revision", "erased"})),
    Kept("mails", store.DELIVERIES, "person_id = $1::uuid", OF_OTHERS),
)
LEFT_OUT = {
    "organizations": "organizations' own",
    "programs": "organizations' own",
    "relationships": "a copy of who is matched with whom: scheduling's file has it",
    "meetings": "a copy of when they meet: scheduling's file has it",
    "endpoints": "organizations' own",
    "calls": "what organizations are told, deleted as it is sent",
}

export = routes(KEPT)
