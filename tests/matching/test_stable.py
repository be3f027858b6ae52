"""By choice: stable, and the best stable matching for those who ask, against all matchings there are."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.stable import blocking, matched, mutual


@st.composite
def wishes(draw):
    residents, hospitals = [f"r{n}" for n in range(draw(st.integers(0, 4)))], [f"h{n}" for n in range(draw(st.integers(0, 3)))]

    def some(others):
        return draw(st.lists(st.sampled_from(others), unique=True)) if others else []

    return (
        {resident: some(hospitals) for resident in residents},
        {hospital: some(residents) for hospital in hospitals},
        {hospital: draw(st.integers(1, 3)) for hospital in hospitals if draw(st.booleans())},
    )


@settings(max_examples=300, deadline=None)
@given(wishes())
def test_nobody_would_rather_change_and_no_stable_matching_is_better_for_any_resident(given_wishes):
    residents, hospitals, capacities = given_wishes
    found = matched(*given_wishes)
    lists, _, _ = mutual(residents, hospitals)
    assert blocking(*given_wishes, found) == []
    assert all(hospital in lists[resident] for resident, hospital in found.items())
    assert all(list(found.values()).count(h) <= capacities.get(h, 1) for h in hospitals)
    liked = lambda resident, choice: lists[resident].index(choice) if choice else len(lists[resident])  # noqa: E731
    for choice in itertools.product(*([*lists[resident], None] for resident in residents)):
        other = {resident: hospital for resident, hospital in zip(residents, choice, strict=True) if hospital}
        full = any(list(other.values()).count(h) > capacities.get(h, 1) for h in hospitals)
        if not full and not blocking(*given_wishes, other):
            assert all(liked(r, found.get(r)) <= liked(r, other.get(r)) for r in residents)
