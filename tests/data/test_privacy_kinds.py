"""Which secrets and personal data are found."""

from __future__ import annotations

import pytest

from tunewright.data.privacy import personal_data, secrets

REGIONS = ("US", "GB")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("use AKIAIOSFODNN7EXAMPLE for the bucket", "secret:aws_access_key"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789 is my token", "secret:github_token"),
        ("open https://bob:s3cret@host.example.com/x", "secret:basic_auth_credentials"),
        ("-----BEGIN RSA PRIVATE KEY-----", "secret:private_key"),
        ("it says password = 'hunter2secret' in the file", "secret:secret_keyword"),
    ],
)
def test_a_credential_is_found_by_kind(text, kind):
    assert kind in secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "I forgot my password and the reset token never came",
        'Simply text the password "MIX" to 85069',
        "the server 10.0.0.1 and https://example.com/a?b=c are down",
    ],
)
def test_talk_about_credentials_is_none(text):
    assert secrets(text) == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("mail bob.o+x@mail.example.co.uk now", ["personal_data:email"]),
        ("call 09061701461 to claim", ["personal_data:phone"]),
        ("call (212) 736-5000 after six", ["personal_data:phone"]),
        ("ring +49 30 901820 in Berlin", ["personal_data:phone"]),
        ("my card 4111 1111 1111 1111 was charged", ["personal_data:card"]),
        ("my card 4111 1111 1111 1112 was charged", []),
        ("order 0000000000000000 is late", []),
        ("I paid 120 and got 30 back, see you @ 7", []),
        ("", []),
    ],
)
def test_personal_data_is_found_by_kind(text, kinds):
    assert personal_data(text, REGIONS) == kinds


def test_national_numbers_count_only_in_the_countries_named():
    assert personal_data("call 09061701461 to claim", ("US",)) == []
    assert personal_data("call +449061701461 to claim", ()) == ["personal_data:phone"]


def test_a_hostile_text_is_searched_in_reasonable_time():
    for text in ("a" * 100_000 + "@", "1 " * 50_000, "a@" * 50_000, "password " * 10_000):
        personal_data(text, REGIONS)
        secrets(text)
