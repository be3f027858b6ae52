"""The demo's people: made up from lists by a seed, belonging to nobody."""

import random
from dataclasses import dataclass
from typing import Any

SEED = 41
PROGRAM, PROGRAM_NAME = "crossing", "Crossing"


@dataclass(frozen=True)
class Employer:
    """An organization of the story."""

    id: str
    name: str
    city: str
    country: str
    time_zone: str
    languages: tuple[str, ...]
    given: tuple[str, ...]
    family: tuple[str, ...]
    hours: tuple[int, int]
    """When its people have time for a talk, local."""


NORTHWIND = Employer(
    "northwind", "Northwind", "Lagos", "NG", "Africa/Lagos", ("en", "yo"),
    ("Ada", "Tunde", "Ngozi", "Femi", "Zainab", "Emeka", "Halima", "Segun", "Amara", "Bola", "Chidi", "Kemi", "Uche", "Yemi", "Ife"),
    ("Okafor", "Bello", "Adeyemi", "Eze", "Musa", "Balogun", "Nwosu", "Lawal", "Obi", "Danjuma", "Ogunleye", "Abubakar"), (14, 19),
)  # fmt: skip
KESTREL = Employer(
    "kestrel", "Kestrel", "São Paulo", "BR", "America/Sao_Paulo", ("pt", "en"),
    ("Beatriz", "João", "Larissa", "Thiago", "Camila", "Rafael", "Juliana", "Mateus", "Sofia", "Bruno", "Helena", "Caio", "Lívia"),
    ("Silva", "Souza", "Costa", "Pereira", "Lima", "Araújo", "Ribeiro", "Carvalho", "Gomes", "Barbosa", "Rocha", "Moreira"), (9, 14),
)  # fmt: skip
CIRCLES, CIRCLES_NAME = "roundtable", "Roundtable"
TOPICS = ("cloud", "leadership", "data-engineering", "python", "product", "negotiation", "writing", "statistics")
NOBODY_OFFERS = "security"
LATE = "n14"
"""Joins in a single event, whose trace the demo shows."""


def people() -> list[tuple[Employer, dict[str, Any]]]:
    """27 people as their employers send them: 12 mentors, 14 mentees, and one whose time zone is misspelt."""
    rng = random.Random(SEED)  # noqa: S311 - it must be the same each time
    made = []
    for employer, letter, roles in (
        (NORTHWIND, "n", ["mentee"] * 8 + ["mentor"] * 5),
        (KESTREL, "k", ["mentee"] * 7 + ["mentor"] * 7),
    ):
        given, family = list(employer.given), list(employer.family)
        rng.shuffle(given)
        rng.shuffle(family)
        for number, role in enumerate(roles, 1):
            name = f"{given[number % len(given)]} {family[number % len(family)]}"
            made.append((employer, person(rng, employer, f"{letter}{number:02d}", name, role)))
    for _, one in made:  # two mentees want what nobody offers
        if one["person"] in {"n06", "k03"}:
            one["skills_wanted"] = [NOBODY_OFFERS]
    made[17][1]["time_zone"] = "Europe/Lodnon"
    return made


def person(rng: random.Random, employer: Employer, own_id: str, name: str, role: str) -> dict[str, Any]:
    """One person's data as a PersonEnrolled carries it."""
    start, end = employer.hours
    days = sorted(rng.sample(range(5), 4))
    topics = rng.sample(TOPICS, 3)
    years = rng.randint(9, 24) if role == "mentor" else rng.randint(1, 7)
    return {
        "person": own_id,
        "name": name,
        "email": f"{own_id}@{employer.id}.example",
        "program": PROGRAM if employer is NORTHWIND else f"{NORTHWIND.id}.{PROGRAM}",
        "role": role,
        "capacity": 1,
        "time_zone": employer.time_zone,
        "country": employer.country,
        "languages": list(employer.languages),
        "skills_offered" if role == "mentor" else "skills_wanted": topics,
        "years_experience": years,
        "availability": [{"weekday": day, "start": f"{start:02d}:00", "end": f"{end:02d}:00"} for day in days],
    }


def peers() -> list[dict[str, Any]]:
    """Northwind's people once more, as those who want to meet their like: everyone teaches two things and learns two."""
    rng = random.Random(SEED + 2)  # noqa: S311
    found = []
    for employer, known in people():
        if employer is NORTHWIND:
            topics = rng.sample(TOPICS, 4)
            peer = {**known, "program": CIRCLES, "role": "peer", "skills_offered": topics[:2], "skills_wanted": topics[2:]}
            found.append(peer)
    return found


def late_joiner() -> dict[str, Any]:
    return person(random.Random(SEED + 1), NORTHWIND, LATE, "Ireti Coker", "mentee")  # noqa: S311
