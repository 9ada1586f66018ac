"""Words from elsewhere: one line, nothing that steers a terminal, no secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galhelpers.messages import public


@given(st.text(st.characters()), st.integers(1, 50))
def test_any_text_becomes_one_short_line_that_can_be_written(text, most):
    said = public(text, most)
    assert said.isprintable()
    assert len(said) <= most + len(" ...")
    said.encode()


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\u202eb", "a\u061cb", "a\U000e0041b", "a\0b"],
)
def test_nothing_steers_a_terminal(text):
    assert public(text).isascii()
    assert public(text).isprintable()


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=30))
def test_a_password_in_an_address_is_taken_out(around):
    assert "hidden" not in public(f"{around} http://me:hidden@host/x {around}")
    assert "hidden" not in public(f"http://host/x?token=hidden {around}")


def test_a_secret_of_the_environment_is_taken_out(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hidden")
    assert "hidden" not in public("x" * 590 + "hidden")


@pytest.mark.parametrize("text", ["x" * 10_000_000, "a://" * 2_500_000, "?a" * 5_000_000])
def test_ten_megabytes_are_no_trouble(text):
    assert len(public(text)) == 604
