"""The text of an error, of which lists and alerts show the first line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError, ErrorKind, error_text
from airflow_okta_workflows.exceptions import OktaConfigurationError, error_from

URL = "https://acme.workflows.okta.com/api/flo/0123456789abcdef0123456789abcdef/invoke"


def test_a_long_message_is_shortened_on_the_first_line_and_whole_in_the_details() -> None:
    message = f"Flow {URL!r} returned 500, and the item that it was invoked for has not been found."
    first, change, whole, detail = error_text(message, "OKW-1234: Change it.", "More.").splitlines()

    assert first == f"Flow {URL!r} returned 500, and the item that …"
    assert (change, whole, detail) == ("What to change (OKW-1234): Change it.", message, "More.")


def test_a_word_is_cut_where_hardly_anything_would_be_left() -> None:
    first, whole = error_text(f"Flow {'x' * 200} failed.", "", "").splitlines()

    assert first == f"Flow {'x' * 113} …"
    assert whole == f"Flow {'x' * 200} failed."


def test_a_message_of_120_characters_and_its_attribute_are_not_changed() -> None:
    message = f"{'a ' * 59}b."
    assert len(message) == 120
    assert error_text(message, "", "") == message
    longer = error_from(CoreError(ErrorKind.CONFIGURATION, f"{message}c"))
    assert isinstance(longer, OktaConfigurationError)
    assert longer.message == f"{message}c"
    assert str(longer) == f"{'a ' * 59}…\n{message}c"


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300) | st.lists(
    st.text("abcdefghijk'/:.", min_size=1, max_size=90), min_size=1, max_size=30
).map(" ".join)


@given(words.filter(str.strip), st.sampled_from(["", "OKW-1234: Change it.", "Change it."]), st.text(max_size=300))
def test_the_first_line_is_short_and_nothing_is_lost(message: str, hint: str, detail: str) -> None:
    text = error_text(message, hint, detail)

    first, *rest = text.splitlines()
    assert len(first) <= 120
    assert message.strip() in text
    assert detail in text
    if hint:
        assert rest[0].startswith("What to change")
    assert first == message.strip() or first.endswith(" …")
