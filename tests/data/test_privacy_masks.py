"""Masks: what is found is gone, and the rest of the text stands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.privacy import mask_private, personal_data

KEY = "AKIA" + "IOSFODNN7EXAMPLQ"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("see you at 5", "see you at 5"),
        ("mail ada@example.org or ben@example.org!", "mail <email> or <email>!"),
        ("card 4111 1111 1111 1111, please", "card <card>, please"),
        ("order 4111 1111 1111 1112 is late", "order 4111 1111 1111 1112 is late"),
        ("ring +44 20 7946 0958 today", "ring <phone> today"),
        (f"my key is {KEY}.", "my key is <secret>."),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----\nthanks",
            "<secret>\nthanks",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc", "<secret>"),
    ],
)
def test_a_mask_stands_where_something_private_was(text, masked):
    assert mask_private(text) == masked


def test_national_numbers_want_their_country():
    assert mask_private("ring 020 7946 0958", ["GB"]) == "ring <phone>"
    assert mask_private("ring 020 7946 0958") == "ring 020 7946 0958"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["ada@example.org", "+44 20 7946 0958", "4111 1111 1111 1111"]))
def test_nothing_that_is_found_is_left(around, private):
    text = f"{around} {private} {around}"
    masked = mask_private(text)
    assert personal_data(masked, []) == []
    assert private not in masked or not personal_data(text, [])
    assert mask_private(masked) == masked
