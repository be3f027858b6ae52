"""What scheduling holds of a person that is theirs, and what it leaves out of the file that they may take along: docs/relationship.md says
what stands in it.
"""

from services.scheduling import store
from shared.exports import Kept, Row, routes

THEIRS = f"""id in (
  select m.id from relationships r join meetings m on m.relationship_id = r.id where r.people @> array[$1::uuid::text]
  union all
  select m.id from relationships r cross join lateral jsonb_to_recordset(r.former) as f(person_id uuid, left_at timestamptz)
  join meetings m on m.relationship_id = r.id and m.starts_at <= f.left_at
  where f.person_id = $1::uuid and {store.ever_in("$1::uuid")}
)"""  # noqa: S608 - our own words
"""A meeting of a relationship that somebody is in, or that began before they left it."""
MINE = "person_id = $1::uuid"
OF_A_RELATIONSHIP = (
    "id", "program", "format", "term", "terms", "time_zone", "created_at", "agreed_at", "until", "renewals", "meetings", "held", "missed",
    "contacts", "milestones", "reasons", "ended_at",
)  # fmt: skip
BEFORE_LEAVING = ("id", "program", "format", "term", "created_at")
OF_A_GOAL = (
    "id", "relationship_id", "kind", "text", "measure", "why", "skills", "due_on", "set_at", "attained_at", "dropped_at",
)  # fmt: skip
OF_A_STEP = ("id", "kind", "due_on", "done_at")
OF_A_MEETING = ("id", "relationship_id", "number", "status", "minutes", "time_zone", "starts_at")


def relationship(row: Row, person: str) -> Row:
    """What is agreed and has become of it; of the others only as what they are in it. Why it ended may be another's word, and what came
    after they left isn't theirs.
    """
    mine = next((m for m in row["members"] if m["person_id"] == person), None)
    left = next((f for f in row["former"] if f["person_id"] == person), None)
    if mine is None and left is not None:
        return {"as": left["role"], "left_at": left["left_at"]} | {name: row[name] for name in BEFORE_LEAVING}
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


def goal(row: Row, person: str) -> Row:
    """Their own, and of others' and of a group's what they wrote and said; a step that another wrote for them without its words."""
    mine = {person} & {row["person_id"], row["set_by"]}
    own = [{name: value for name, value in step.items() if name != "by"} for step in row["steps"] if step["by"] == person]
    given = [
        {name: step[name] for name in OF_A_STEP} for step in row["steps"] if step["by"] != person and row["person_id"] == person
    ]
    said = [word for word in row["said"] if word["person_id"] == person]
    return {name: row[name] for name in (OF_A_GOAL if mine else ("id", "relationship_id"))} | {
        "steps": [*own, *given],
        "said": said,
    }


def entry(row: Row, person: str) -> Row:
    """What they wrote; of whoever is to do it only whether it is they."""
    return {name: value for name, value in row.items() if name != "doer"} | {"mine_to_do": row["doer"] == person}


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
    Kept("relationships", store.RELATIONSHIPS, store.ever_in("$1::uuid"), own=relationship),
    Kept("meetings", store.MEETINGS, THEIRS, own=meeting),
    Kept("agreements", store.AGREEMENTS, "writers @> array[$1::uuid::text]", own=agreement),
    Kept("goals", store.GOALS, f"({MINE} or writers @> array[$1::uuid::text])", own=goal),
    Kept("entries", store.ENTRIES, MINE, NOT_THEIRS, entry),
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
    "quiet": "which relationships are quiet, as they themselves say",
    "programs": "what programs are called and how they go: organizations' own",
}

export = routes(KEPT)
