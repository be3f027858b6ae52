"""What pages of requests say: words for every code, and nothing that tells who someone is."""

from dataclasses import replace

import pytest

from services.matching.coordinating import pair_line
from services.matching.domain.model import Person, Program, RunStatus
from services.matching.domain.requests import Request, RequestStatus
from services.matching.wording import (
    DECLINES,
    REJECTIONS,
    RUNS,
    STANDS,
    audited,
    described,
    ordinal,
    remedy,
    shown,
    stands,
    waits,
)
from shared.cloudevents import new_id
from shared.events import (
    Audited,
    DeclineReason,
    Format,
    Policy,
    Profile,
    Reason,
    ReasonCode,
    RejectionReason,
    Role,
    WaitlistReason,
)
from shared.reasons import reason
from tests.matching.test_anew import PROGRAM, run, someone

WHO = Person(
    new_id(),
    "kestrel",
    own_id="k03",
    profile=Profile(
        time_zone="UTC",
        title="Principal Engineer",
        languages=("en", "pt-BR"),
        location="são-paulo",
        skills_offered=("cloud", "c++"),
        skills_wanted=("machine-learning",),
        goals=("role:data-scientist",),
    ),
)


@pytest.mark.parametrize("code", [code for code in ReasonCode if code not in {ReasonCode.other, ReasonCode.waiting}])
@pytest.mark.parametrize("items", [(), ("machine-learning", "en")])
def test_every_reason_has_words(code, items):
    said = reason(Reason(code=code, number=1, items=items))
    assert said
    assert "_" not in said
    assert "-" not in said
    assert reason(Reason(code=ReasonCode.other, number=1)) == ""


def test_what_is_near_is_told_with_what_it_stands_for():
    near = Reason(code=ReasonCode.related_skills, number=2, items=("dotnet", "machine-learning"), near=("c#", "data-science"))
    assert reason(near) == "Skills close to those asked for: c# for dotnet and data science for machine learning"


def test_someone_is_described_by_what_they_do_and_never_named():
    mentor = described(WHO, Role.mentor, (Reason(code=ReasonCode.language, number=1, items=("en",)),))
    assert mentor.heading == "Principal Engineer"
    assert mentor.facts == [
        ("From", "Kestrel, São Paulo"),
        ("Languages", "English and Portuguese"),
        ("Offers", "Cloud and c++"),
    ]
    assert mentor.reasons == ["A language in common: English"]
    mentee = described(WHO, Role.mentee, ())
    assert mentee.facts[-2:] == [("Wants to learn", "Machine learning"), ("Goals", "Data scientist")]
    assert "k03" not in str((mentor, mentee))
    assert described(replace(WHO, profile=None), Role.mentor, ()).heading == "Someone who has left"
    bare = replace(WHO, profile=Profile(time_zone="UTC"))
    assert (described(bare, Role.mentee, ()).heading, described(bare, Role.mentee, ()).facts) == ("Mentee", [("From", "Kestrel")])


def test_every_state_and_every_no_has_words():
    assert set(STANDS) == set(RequestStatus) - {RequestStatus.other}
    assert set(DECLINES) == set(DeclineReason) - {DeclineReason.unavailable}
    ids = [new_id() for _ in range(4)]
    waits = Request(ids[0], "o", (), "o.p", *ids[1:], 1, RequestStatus.withdrawn, 1, 0, ())
    assert stands(waits, "UTC") == "wasn’t asked"
    assert [ordinal(n) for n in (1, 10, 11)] == ["first", "tenth", "11th"]


@pytest.mark.parametrize("why", WaitlistReason)
@pytest.mark.parametrize("role", [Role.mentor, Role.mentee])
@pytest.mark.parametrize("missing", [(), ("machine-learning", "en")])
def test_a_coordinator_reads_why_someone_waits_in_words(role, why, missing):
    said = waits(role, why, missing)
    assert said
    assert "_" not in said + remedy(role, why, 2)


def test_a_coordinator_reads_of_two_others_and_never_of_you():
    for code in set(ReasonCode) - {ReasonCode.other}:
        said = reason(Reason(code=code, number=2, items=("en",)), of_others=True)
        assert said
        assert "you" not in said
    assert set(REJECTIONS) == set(RejectionReason) - {
        RejectionReason.no_longer_holds,
        RejectionReason.expired,
        RejectionReason.other,
    }
    assert set(RUNS) == set(RunStatus) - {RunStatus.other}


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("country", "NG", "NG"),
        ("first_language", "pt", "Portuguese"),
        ("function", "data-science", "Data science"),
        ("location", "", "Not said"),
    ],
)
def test_a_group_of_the_fairness_report_has_words(attribute, value, said):
    assert audited(Audited(attribute), value) == said


def test_to_a_coordinator_someone_has_the_id_of_their_organization():
    seen = shown(WHO, Role.mentor)
    assert (seen.name, seen.organization, seen.title) == ("k03", "Kestrel", "Principal Engineer")
    assert shown(None, Role.mentor).name == "someone who was erased"


@pytest.mark.parametrize(("form", "people"), [(Format.peer_pair, 2), (Format.circle, 4)])
def test_peers_who_fit_as_well_as_can_be_have_a_score_of_one(form, people):
    alike = [someone(n, Role.peer, skills_offered=("sql",), skills_wanted=("sql",)) for n in range(people)]
    program = Program(PROGRAM, "northwind", Policy(formats=(form,)), 1)
    (found,), _ = run(alike, program)
    assert pair_line(found, {}, program).score == "1.00"
