"""People, as matching's tests need them."""

from uuid import UUID, uuid5

from services.matching.domain.pool import Candidate
from shared.events import Contact, Enrolment, PersonEnrolled, PersonRecord, Profile, Role, Window

NAMESPACE = UUID("018f0000-0000-7000-8000-000000000000")


def profile(**said) -> Profile:
    return Profile(**({"time_zone": "UTC"} | said))


def mentor(name: str, places: int = 1, *, organization: str = "northwind", taken: int = 0, apart=(), own_id="", **said):
    return Candidate(name, organization, Role.mentor, profile(**said), places, taken=taken, own_id=own_id, apart=frozenset(apart))


def mentee(name: str, places: int = 1, *, organization: str = "northwind", taken: int = 0, apart=(), own_id="", **said):
    return Candidate(name, organization, Role.mentee, profile(**said), places, taken=taken, own_id=own_id, apart=frozenset(apart))


def free(*windows: tuple[int, str, str]) -> tuple[Window, ...]:
    return tuple(Window(weekday=day, start=start, end=end) for day, start, end in windows)


def person_id(organization: str, name: str) -> UUID:
    return uuid5(NAMESPACE, f"{organization}/{name}")


def record(
    name: str,
    role: Role,
    program: str,
    *,
    organization: str,
    capacity: int = 1,
    revision: int = 1,
    kind: type[PersonRecord] = PersonEnrolled,
    enrolled: bool = True,
    status: str = "active",
    **said,
) -> PersonRecord:
    """A record on `people` as the gateway writes it."""
    enrolments = (Enrolment(program=program, role=role, capacity=capacity, revision=revision),) if enrolled else ()
    return kind(
        person_id=person_id(organization, name),
        organization=organization,
        own_id=name,
        status=status,
        profile=profile(**said),
        contact=Contact(name=name, email=f"{name}@example.org"),
        enrolments=enrolments,
        revision=revision,
        program=program,
    )
