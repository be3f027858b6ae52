"""Organizations and their API keys."""

import dataclasses
from dataclasses import dataclass

from services.gateway.domain.kept import Key, Organization
from shared.access import AccessKey
from shared.decisions import NOTHING, Context, Outcome, changed, new
from shared.errors import Rejected
from shared.events import AccessKeyIssued, AccessKeyRevoked, OrganizationOnboarded, Right


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key: what is kept of it. The secret itself never comes here."""

    id: str
    sha256: str
    rights: tuple[Right, ...]


@dataclass(frozen=True, slots=True)
class Onboarded:
    """An organization, whether it is new, and whether it got the key minted for it."""

    organization: Organization
    created: bool = False
    with_key: bool = False


FIRST_RIGHTS = (Right.send, Right.read, Right.coordinate)


def issued(minted: Minted, organization: str, context: Context) -> Outcome:
    """A key that every service will honour; this one at once."""
    rights = tuple(right.value for right in minted.rights)
    key = Key(minted.id, organization, rights, context.now)
    known = AccessKey(minted.id, minted.sha256, organization, rights, revoked=False)
    return new(key, known).then(key_fact(AccessKeyIssued, key, known))


def onboard(
    there: Organization | None, wanted: Organization, minted: Minted, context: Context, *, new_key: bool = False
) -> Outcome:
    """An organization with its first key; again, nothing, or one more key where that is asked for. Returns `Onboarded`."""
    if there is None:
        fact = OrganizationOnboarded(
            organization=wanted.id,
            name=wanted.name,
            country=wanted.country,
            time_zone=wanted.time_zone,
            locale=wanted.locale,
            audience=(wanted.id,),
        )
        made = dataclasses.replace(wanted, onboarded_at=context.now)
        return (
            new(made).then(fact).plus(issued(minted, wanted.id, context)).returning(Onboarded(made, created=True, with_key=True))
        )
    if dataclasses.replace(wanted, onboarded_at=there.onboarded_at) != there:
        raise Rejected("exists", "An organization with this id is here already, with other details.", field="id", status=409)
    if new_key:
        return issued(minted, there.id, context).returning(Onboarded(there, with_key=True))
    return NOTHING.returning(Onboarded(there))


def revoke(key: Key | None, organization: str, known: AccessKey | None, context: Context) -> Outcome:
    """The organization's own key is worth nothing from now on."""
    if key is None or known is None or key.organization != organization:
        raise Rejected("unknown_key", "You have no key with this id.", status=404)
    if key.revoked_at is not None:
        return NOTHING.returning(key)
    gone = dataclasses.replace(key, revoked_at=context.now)
    fact = key_fact(AccessKeyRevoked, gone, known)
    return changed(known, revoked=True).also(gone).then(fact).returning(gone)


def key_fact(
    kind: type[AccessKeyIssued] | type[AccessKeyRevoked], key: Key, known: AccessKey
) -> AccessKeyIssued | AccessKeyRevoked:
    return kind(
        key_id=key.id,
        sha256=known.sha256,
        organization=key.organization,
        rights=tuple(Right(right) for right in key.rights),
        revoked=key.revoked_at is not None,
        audience=(key.organization,),
    )


def key_again(key: Key | None, context: Context) -> Outcome:
    """As `person_again`, of a key."""
    known = context.get(AccessKey, key.id) if key else None
    if key is None or known is None:
        return NOTHING
    return Outcome(events=(key_fact(AccessKeyRevoked if key.revoked_at else AccessKeyIssued, key, known),))
