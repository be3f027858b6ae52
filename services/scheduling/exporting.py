"""What scheduling holds of a person that is theirs, and what it leaves out of the file that they may take along: docs/relationship.md says
what stands in it.
"""

from services.scheduling import store
from shared.exports import Kept, Row, routes

THEIRS = "people @> array[$1::uuid::text]"
"""A relationship that somebody is or was in."""
MINE = "person_id = $1::uuid"
OF_A_RELATIONSHIP = (
    "id", "program", "format", "term", "terms", "time_zone", "created_at", "agreed_at", "until", "renewals", "meetings", "held", "missed",
    "contacts", "milestones", "reasons", "ended_at",
)  # fmt: skip
OF_A_MEETING = ("id", "relationship_id", "number", "status", "minutes", "time_zone", "starts_at")


def relationship(row: Row, person: str) -> Row:
    """What is agreed and has become of it; of the others only as what they are in it. Why it ended may be another's word."""
    mine = next((m for m in row["members"] if m["person_id"] == person), None)
    signed = next((s["at"] for s in row["signatures"] if s["person_id"] == person), None)
    others = [m["role"] for m in row["members"] if m["person_id"] != person]
    return {"as": mine and mine["role"], "with": others, "signed_at": signed} | {name: row[name] for name in OF_A_RELATIONSHIP}


def meeting(row: Row, person: str) -> Row:
    """When it was, whether they came, and what they answered themselves."""
    held = row["held"] or {}
    there = {"attended": person in held.get("attended", ()), "minutes_held": held.get("minutes")} if held else {}
    return {name: row[name] for name in OF_A_MEETING} | there | {"said": [s for s in row["said"] if s["person_id"] == person]}


def agreement(row: Row, person: str) -> Row:
    """What they wrote into it."""
    wrote = {one["about"]: one["text"] for one in row["written"] if one["by"] == person}
    return {"relationship_id": row["relationship_id"], "version": row["version"], "made_at": row["made_at"], "wrote": wrote}


def feedback(row: Row, person: str) -> Row:
    """What they gave, and what was given to them; of the other only which of the two they are."""
    gave = row["giver"] == person
    return {name: value for name, value in row.items() if name not in {"giver", "receiver"}} | {"gave": gave}


def opening(row: Row, person: str) -> Row:
    """What they passed on, and what was passed on to them."""
    return {name: value for name, value in row.items() if name not in {"shared_by", "person_id"}} | {
        "passed_on": row["shared_by"] == person
    }


def introduction(row: Row, person: str) -> Row:
    """That they were introduced, or introduced somebody; the words only where they are theirs."""
    mine = row["introduced_by"] == person
    told = {"introduced": mine, "made_at": row["made_at"], "said_yes": person in row["yes"], "accepted": row["accepted"]}
    return {"id": row["id"], "program": row["program"]} | told | ({"text": row["text"]} if mine else {})


NOT_THEIRS = frozenset({"organization", "revision", "person_id"})

KEPT = (
    Kept("profile", store.PEOPLE, "id = $1::uuid", frozenset({"revision", "erased"})),
    Kept("relationships", store.RELATIONSHIPS, THEIRS, own=relationship),
    Kept("meetings", store.MEETINGS, f"relationship_id in (select id from relationships where {THEIRS})", own=meeting),  # noqa: S608 - our own words
    Kept("agreements", store.AGREEMENTS, "writers @> array[$1::uuid::text]", own=agreement),
    Kept("goals", store.GOALS, MINE, NOT_THEIRS),
    Kept("entries", store.ENTRIES, MINE, NOT_THEIRS),
    Kept("concerns", store.CONCERNS, MINE, NOT_THEIRS),
    Kept("looks_back", store.LOOKS_BACK, MINE, NOT_THEIRS),
    Kept("check_ins", store.CHECK_INS, MINE, NOT_THEIRS),
    Kept("feedback", store.FEEDBACK, "(giver = $1::uuid or receiver = $1::uuid)", NOT_THEIRS, feedback),
    Kept("assessments", store.ASSESSMENTS, "assessed_by = $1::uuid", NOT_THEIRS | {"assessed_by"}),
    Kept("openings", store.OPENINGS, "(shared_by = $1::uuid or person_id = $1::uuid)", NOT_THEIRS, opening),
    Kept(
        "introductions",
        store.INTRODUCTIONS,
        "(introduced_by = $1::uuid or person_id = $1::uuid or to_person_id = $1::uuid)",
        own=introduction,
    ),
    Kept("recognitions", store.RECOGNITIONS, MINE, NOT_THEIRS),
)
"""In the order of the file. A new table with something of a person's goes here, or below with the reason why not."""
LEFT_OUT = {
    "co_mentees": "who of several wants to be seen by the others: only that they do would be theirs, and the page says it",
    "organizations": "what organizations call themselves",
    "programs": "what programs are called and how they go: organizations' own",
}

export = routes(KEPT)
