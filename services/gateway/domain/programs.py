"""What the gateway decides on programs and on sharing them."""

import dataclasses

from pydantic import ValidationError

from services.gateway.domain.kept import Membership, Person, Program, together
from services.gateway.domain.named import Named, own_program, seen_program
from services.gateway.domain.people import others, programs_of, withdrawn
from shared.decisions import NOTHING, Context, Outcome, changed, new
from shared.errors import Raced, Rejected
from shared.events import (
    Policy,
    ProgramChanged,
    ProgramClosed,
    ProgramJoined,
    ProgramLaunched,
    ProgramLeft,
    ProgramShared,
    partner,
)


def program_launched(said: partner.ProgramLaunched, named: Named, context: Context) -> Outcome:
    """A program of the sender's own; launching it again in the same words changes nothing."""
    assert named.program is not None
    there = context.get(Program, named.program)
    policy = said.policy.applied_to(Policy())
    if there is not None:
        if there.closed:
            raise Rejected("program_closed", "this program is closed: launch one of another name", field="data.program")
        if (there.name, there.policy) != (said.name, policy):
            raise Rejected(
                "exists", "you have launched this program already: change it with ithaca.ProgramChanged", field="data.program"
            )
        return NOTHING
    owner = named.sender.id
    program = Program(named.program, owner, said.name, policy, audience=(owner,))
    return new(program).then(program_fact(ProgramLaunched, program))


def program_fact(kind: type[ProgramLaunched] | type[ProgramChanged], program: Program) -> ProgramLaunched | ProgramChanged:
    return kind(
        program=program.id,
        organization=program.organization,
        name=program.name,
        policy=program.policy,
        revision=program.revision,
        audience=program.audience,
    )


def program_changed(said: partner.ProgramChanged, named: Named, context: Context) -> Outcome:
    program = own_program(named, context)
    try:
        policy = said.policy.applied_to(program.policy)
    except ValidationError as error:
        text = error.errors(include_input=False, include_url=False, include_context=False)[0]["msg"]
        raise Rejected("policy", text, field="data.policy") from None
    after = dataclasses.replace(program, name=said.name or program.name, policy=policy)
    if after == program:
        return NOTHING
    after = dataclasses.replace(after, revision=program.revision + 1)
    return new(after).then(program_fact(ProgramChanged, after))


def program_closed(_: partner.ProgramClosed, named: Named, context: Context) -> Outcome:
    program = seen_program(named, context)
    if program.closed and program.organization == named.sender.id:
        return NOTHING
    program = own_program(named, context)
    return changed(program, closed=True).then(ProgramClosed(program=program.id, audience=program.audience))


def program_shared(said: partner.ProgramShared, named: Named, context: Context) -> Outcome:
    """An invitation, or other seats; those who are in stay in, however few the seats become."""
    program = own_program(named, context)
    if said.member == program.organization:
        raise Rejected("not_a_member", "this is your own program: name another organization", field="data.member")
    if not named.organization_known:
        raise Rejected("unknown_organization", "there is no organization of this name on the platform", field="data.member")
    before = program.membership(said.member) or Membership(said.member, -1, said.visibility)
    member = dataclasses.replace(before, seats=said.seats, visibility=said.visibility)
    if member == before:
        return NOTHING
    fact = ProgramShared(
        program=program.id,
        member=said.member,
        seats=said.seats,
        visibility=said.visibility,
        audience=together(program.organization, said.member),
    )
    return new(program.with_member(member)).then(fact)


def membership_of(named: Named, context: Context) -> tuple[Program, Membership]:
    program = seen_program(named, context)
    member = program.membership(named.sender.id)
    if member is None:
        raise Rejected("your_own", "this is your own program: there is nothing to join or leave", field="data.program")
    return program, member


def program_joined(_: partner.ProgramJoined, named: Named, context: Context) -> Outcome:
    program, member = membership_of(named, context)
    if member.joined:
        return NOTHING
    if program.closed:
        raise Rejected("program_closed", "this program is closed", field="data.program")
    fact = ProgramJoined(
        program=program.id, member=member.organization, audience=together(program.organization, member.organization)
    )
    return new(program.with_member(dataclasses.replace(member, joined=True))).then(fact)


def program_left(_: partner.ProgramLeft, named: Named, context: Context) -> Outcome:
    """The member is out, and its people with it; to come back it must be invited anew."""
    program, member = membership_of(named, context)
    if member.people != len(named.leaving):
        raise Raced("people were enrolled or withdrawn meanwhile")
    fact = ProgramLeft(
        program=program.id, member=member.organization, audience=together(program.organization, member.organization)
    )
    outcome = Outcome(events=(fact,))
    touched: dict[str, Program] = {program.id: program}
    for key in named.leaving:
        person = context.get(Person, key)
        if person is None or person.erased or person.enrolment(program.id) is None:
            raise Raced("people were enrolled or withdrawn meanwhile")
        gone = withdrawn(person, others(person, program.id), programs_of(person, context, *touched.values()), about=program.id)
        touched |= {p.id: p for p in gone.changed if isinstance(p, Program)}
        outcome = outcome.plus(gone)
    program = touched[program.id]
    members = tuple(m for m in program.members if m.organization != member.organization)
    audience = together(program.organization, (m.organization for m in members))
    return outcome.also(dataclasses.replace(program, members=members, audience=audience))
