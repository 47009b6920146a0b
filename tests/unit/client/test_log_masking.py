"""What Airflow's masker knows after this provider has told it, and what that costs."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import mask_secret, redact

from airflow_okta_workflows.client import log_masking
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from tests.airflow_features import ASYNC_MASKING, SHARED_MASKER, forget_masks, lacks, logged, masker_module, needs

RSA_JWK = generate_jwk("rsa2048")
PEM = pem_of(RSA_JWK)
LINES = PEM.splitlines()[1:-1]
TOKEN = "eyJhbGciOiJIUzI1NiJ9.t0ken.s1gnature"

MaskSecrets = Callable[..., None]


@pytest.fixture(params=["mask", "amask"])
def mask(request: pytest.FixtureRequest) -> MaskSecrets:
    """MaskSecrets texts: once as a thread does, once as a task on an event loop does."""
    if request.param == "mask":
        return log_masking.mask
    return lambda *args, **kwargs: asyncio.run(log_masking.amask(*args, **kwargs))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Checkpoint each regular expression that is compiled."""
    patterns: list[str] = []
    really = re.compile

    def compile_and_note(pattern: Any, *args: Any) -> Any:
        patterns.append(pattern)
        return really(pattern, *args)

    monkeypatch.setattr(re, "compile", compile_and_note)
    return patterns


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Begin with nothing masked, by a clock that the test sets."""
    clock = SimpleNamespace(now=1_800_000_000.0)
    monkeypatch.setattr(log_masking, "Runtime", SimpleNamespace(clock=lambda: clock.now))
    monkeypatch.setattr(log_masking, "_ends", {})
    return clock


def test_each_line_of_a_key_is_masked_in_whatever_is_logged(mask: MaskSecrets) -> None:
    mask(parse_key_text(PEM).secret_forms())

    assert len(LINES) > 20
    for line in LINES:
        assert logged(f"before {line} after") == redact(f"before {line} after") == "before *** after"
    for form in (PEM, PEM.replace("\n", "\\n"), json.dumps({"key": PEM}), "".join(LINES), repr(PEM)):
        assert not any(line in logged(form) for line in LINES)


@pytest.mark.parametrize("jwk", [RSA_JWK, generate_jwk()], ids=["RSA", "EC"])
def test_each_private_member_of_a_jwk_is_masked_and_no_public_one(mask: MaskSecrets, jwk: dict[str, Any]) -> None:
    mask(parse_key_text(json.dumps(jwk)).secret_forms())
    private = {"d", "p", "q", "dp", "dq", "qi"} & set(jwk)

    shown = logged(json.dumps(jwk))
    assert {name for name in jwk if json.dumps(jwk[name]) not in shown} == private
    assert all(logged(jwk[name]) == "***" for name in private)
    assert private >= {"d"}


def test_a_token_is_masked_wherever_it_is_put(mask: MaskSecrets) -> None:
    mask((TOKEN,), until=4_000_000_000.0)

    assert logged(f"Authorization: Bearer {TOKEN}") == "Authorization: Bearer ***"
    assert redact({"a": [TOKEN, (TOKEN,)], "b": f"x{TOKEN}x"}) == {"a": ["***", ("***",)], "b": "x***x"}


def test_characters_that_mean_something_in_a_pattern_are_taken_as_they_are(mask: MaskSecrets) -> None:
    mask(("(what.a+secret*text|", "another[secret]{9}^$"))

    assert logged("(what.a+secret*text| and another[secret]{9}^$") == "*** and ***"
    assert logged("(whatXa+secret*text|") == "(whatXa+secret*text|"


def test_a_short_text_is_masked_as_airflow_does_it(mask: MaskSecrets) -> None:
    mask(("hunter22", "abc", TOKEN))

    assert logged(f"hunter22 {TOKEN}") == "*** ***"
    ours = logged("abc")
    forget_masks()
    mask_secret("abc")
    assert ours == logged("abc"), "some Airflows mask nothing so short: it would eat other text"


def test_nothing_to_mask_is_nothing(mask: MaskSecrets, compiled: list[str]) -> None:
    mask(())

    assert logged("anything") == "anything"
    assert not compiled


# ---- what it costs


@needs(SHARED_MASKER)
def test_nothing_is_compiled_before_a_line_is_logged_and_then_all_at_once(
    mask: MaskSecrets, compiled: list[str]
) -> None:
    for texts in (parse_key_text(PEM).secret_forms(), (TOKEN,), (TOKEN,), (f"{TOKEN}-2",)):
        mask(texts)
    assert compiled == []

    for line in LINES * 2:
        assert logged(line) == "***"
    assert logged(TOKEN) == "***"
    assert TOKEN not in logged(f"{TOKEN}-2")
    assert len(compiled) == 1


@needs(SHARED_MASKER)
def test_what_is_masked_already_costs_nothing_more(mask: MaskSecrets, compiled: list[str]) -> None:
    mask((TOKEN,))
    logged("a line")
    for _ in range(5):
        mask((TOKEN,))
        logged("a line")

    assert len(compiled) == 1


# ---- beside Airflow's own masks


def test_airflows_masks_before_and_after_stay(mask: MaskSecrets) -> None:
    mask_secret("airflows-secret-before")
    mask((TOKEN,))
    assert logged(f"{TOKEN} airflows-secret-before") == "*** ***"

    mask_secret(["airflows-secret-after", "short-1"])
    mask((f"other-{TOKEN}",))

    assert logged(f"airflows-secret-before airflows-secret-after short-1 {TOKEN}") == "*** *** *** ***"
    assert TOKEN not in logged(f"other-{TOKEN}")


def test_the_forms_that_a_deployment_adds_are_masked_too(mask: MaskSecrets, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("secret_mask_adapter", "_mask_adapter"):  # as newer and as older maskers call it
        monkeypatch.setattr(masker_module()._secrets_masker(), name, lambda secret: [secret[::-1]], raising=False)
    mask((TOKEN,))

    assert logged(f"{TOKEN} {TOKEN[::-1]}") == "*** ***"


# In others, Airflow's own function looks for the masker where this test puts another.
@needs(ASYNC_MASKING)
@pytest.mark.parametrize("found", [None, object(), SimpleNamespace(patterns=["a"], replacer=None)])
def test_a_masker_of_another_make_is_left_to_airflow(
    mask: MaskSecrets, monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    if found is None:
        monkeypatch.delattr(masker_module(), "_secrets_masker")
    else:
        monkeypatch.setattr(masker_module(), "_secrets_masker", lambda: found)
    mask((TOKEN, *LINES), until=4_000_000_000.0)

    assert logged(f"{TOKEN} {LINES[3]}") == "*** ***"


def test_tasks_of_a_loop_and_threads_mask_at_the_same_time() -> None:
    def text(who: int, n: int) -> str:
        return f"secret-of-{who:02}-number-{n:02}"

    start = threading.Barrier(8)

    def mask_some(who: int) -> None:
        start.wait()
        for n in range(10):
            log_masking.mask((text(who, n),))
            assert logged(text(who, n)) == "***"

    async def mask_others() -> None:
        await asyncio.gather(*(log_masking.amask((text(99, n),)) for n in range(10)))

    threads = [threading.Thread(target=mask_some, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    asyncio.run(mask_others())
    for thread in threads:
        thread.join()

    assert {logged(text(who, n)) for who in (*range(8), 99) for n in range(10)} == {"***"}


# ---- what is no secret any more


@lacks(SHARED_MASKER)
def test_where_the_masker_is_airflows_alone_nothing_is_ever_forgotten(
    mask: MaskSecrets, clock: SimpleNamespace
) -> None:
    mask((TOKEN,), until=clock.now)
    clock.now += 10**9
    mask((f"new-{TOKEN}",), until=clock.now + 3600)

    assert logged(TOKEN) == "***"


@needs(SHARED_MASKER)
def test_a_token_is_forgotten_some_time_after_its_end(mask: MaskSecrets, clock: SimpleNamespace) -> None:
    end = clock.now + 3600
    mask((TOKEN,), until=end)
    for later, shown in ((3599, "***"), (3600 + 590, "***"), (3600 + 610, TOKEN)):
        clock.now = end - 3600 + later
        mask((f"the-token-at-{later}",), until=clock.now + 3600)
        assert logged(TOKEN) == shown


@needs(SHARED_MASKER)
def test_a_key_is_never_forgotten(mask: MaskSecrets, clock: SimpleNamespace) -> None:
    mask((LINES[0],))
    mask((TOKEN,), until=clock.now)
    clock.now += 10**9
    mask((f"new-{TOKEN}",), until=clock.now + 3600)

    assert logged(f"{LINES[0]} {TOKEN}") == f"*** {TOKEN}"


@needs(SHARED_MASKER)
def test_a_token_that_was_forgotten_can_be_masked_again(mask: MaskSecrets, clock: SimpleNamespace) -> None:
    mask((TOKEN,), until=clock.now)
    clock.now += 601
    mask(("new-token-of-an-hour",), until=clock.now + 3600)
    assert logged(TOKEN) == TOKEN

    mask((TOKEN,), until=clock.now + 3600)
    assert logged(TOKEN) == "***"


@needs(SHARED_MASKER)
def test_what_is_masked_for_longer_stays_masked(mask: MaskSecrets, clock: SimpleNamespace) -> None:
    for until in (clock.now, float("inf"), clock.now):
        mask((TOKEN,), until=until)
    mask((LINES[0],), until=clock.now + 3600)
    mask((LINES[0],), until=clock.now)
    clock.now += 3000
    mask(("new-token-of-an-hour",), until=clock.now + 3600)

    assert logged(f"{TOKEN} {LINES[0]}") == "*** ***"


@needs(SHARED_MASKER)
def test_months_of_tokens_leave_no_trace(mask: MaskSecrets, clock: SimpleNamespace, compiled: list[str]) -> None:
    for n in range(1000):
        mask((f"the-token-of-hour-{n:04}",), until=clock.now + 3600)
        clock.now += 3600
    logged("a line")

    assert compiled[0].count("the") <= 3


@needs(SHARED_MASKER)
def test_airflow_does_not_bring_back_what_was_forgotten(mask: MaskSecrets, clock: SimpleNamespace) -> None:
    mask((TOKEN,), until=clock.now)
    clock.now += 601
    mask((LINES[0],))
    mask_secret("airflows-secret-after")

    assert logged(f"{TOKEN} {LINES[0]} airflows-secret-after") == f"{TOKEN} *** ***"
