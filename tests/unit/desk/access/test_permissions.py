"""Laws of grants: who gives one gives nothing away that they have not."""

from hypothesis import given
from hypothesis import strategies as st

from desk.access.permissions import Actor, Permission, exceeds, incomplete
from schemas.events.access import Grant, Role

ACCOUNTS, CHANNELS = ("main", "other"), ("shop", "line", "desk")
grants = st.builds(
    Grant,
    role=st.sampled_from(Role),
    account=st.none() | st.sampled_from(ACCOUNTS),
    channels=st.none() | st.lists(st.sampled_from(CHANNELS), unique=True).map(tuple),
    agent=st.none() | st.just("irene"),
)


@given(grants, grants)
def test_whoever_is_given_a_grant_may_and_sees_nothing_that_its_giver_may_and_sees_not(
    grant: Grant, giver: Grant
) -> None:
    if exceeds(grant, giver) is None:
        holder, by = Actor("user/a", "", grant), Actor("user/b", "", giver)
        assert all(by.may(permission) for permission in Permission if holder.may(permission))
        for account in ACCOUNTS:
            assert by.sees_account(account) or not holder.sees_account(account)
            for channel in CHANNELS:
                assert by.sees_channel(account, channel) or not holder.sees_channel(account, channel)


@given(grants, grants, grants)
def test_giving_on_gives_no_more(one: Grant, two: Grant, three: Grant) -> None:
    assert exceeds(one, one) is None
    if exceeds(one, two) is None and exceeds(two, three) is None:
        assert exceeds(one, three) is None


@given(grants)
def test_who_needs_a_second_factor_may_set_one_and_nothing_else(grant: Grant) -> None:
    limited = Actor("user/a", "", grant, limited=True)
    assert [permission for permission in Permission if limited.may(permission)] == [Permission.SELF]
    assert not any(Actor("token/a", "", grant, limited=True).may(permission) for permission in Permission)


@given(grants)
def test_a_complete_grant_says_where_it_holds_and_whose_it_is(grant: Grant) -> None:
    if incomplete(grant) is None:
        assert grant.account is not None or (grant.channels, grant.agent) == (None, None)
        assert grant.agent is not None or grant.role is not Role.AGENT
