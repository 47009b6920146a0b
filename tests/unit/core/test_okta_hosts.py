from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.addresses import Origin, parse_origin
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.okta_hosts import default_workflows_origin, require_org, require_workflows_host


def org(host: str, *, is_url: bool = False, has_workflows_host: bool = False) -> None:
    require_org(Origin("https", host, 443), is_url=is_url, has_workflows_host=has_workflows_host)


@pytest.mark.parametrize(
    "host",
    ["acme.okta.com", "acme.oktapreview.com", "acme.okta-emea.com", "acme.okta-gov.com", "acme.okta.mil", "a-b.okta.com",
     "login.acme.com", "okta.acme.com", "10.0.0.1", "fd00::1", "localhost", "okta.localhost"],
)  # fmt: skip
def test_a_domain_of_an_org_is_good(host: str) -> None:
    org(host)


@pytest.mark.parametrize(
    ("host", "kind", "domain"),
    [
        ("acme-admin.okta.com", "admin console", "acme.okta.com"),
        ("acme-admin.oktapreview.com", "admin console", "acme.oktapreview.com"),
        ("acme.workflows.okta.com", "host of its flows", "acme.okta.com"),
        ("acme.workflows.okta-gov.com", "host of its flows", "acme.okta-gov.com"),
        ("acme-admin.workflows.okta.com", "host of its flows", "acme.okta.com"),
    ],
)
@pytest.mark.parametrize("has_workflows_host", [True, False])
def test_another_host_of_the_org_leads_to_its_domain(
    host: str, kind: str, domain: str, has_workflows_host: bool
) -> None:
    with pytest.raises(CoreError) as caught:
        org(host, has_workflows_host=has_workflows_host)

    assert caught.value.message == f"{host} is not the org's domain but the {kind}."
    assert caught.value.hint.endswith(f"Set the Okta domain (Host) to {domain}.")


TYPOS = {
    "otka.com": "okta.com",
    "oktta.com": "okta.com",
    "okt.com": "okta.com",
    "oktacom": "okta.com",
    "octa.com": "okta.com",
    "okta.co": "okta.com",
    "okta.cm": "okta.com",
    "okta.con": "okta.com",
    "okta.comm": "okta.com",
    "okta.ocm": "okta.com",
    "oktapreveiw.com": "oktapreview.com",
    "okta-emae.com": "okta-emea.com",
    "oktaemea.com": "okta-emea.com",
    "okta": "okta.com",
    "okta.com.com": "okta.com",
    "oktapreview": "oktapreview.com",
}


@pytest.mark.parametrize("base", TYPOS)
def test_an_obvious_typo_is_told(base: str) -> None:
    meant = f"acme.{TYPOS[base]}"

    with pytest.raises(CoreError) as caught:
        org(f"acme.{base}")
    assert caught.value.message == f"acme.{base} looks like a typo of {meant}."
    assert meant in caught.value.hint
    with pytest.raises(CoreError, match=f"Set workflows_host to acme.workflows.{TYPOS[base]}"):
        require_workflows_host(Origin("https", f"acme.workflows.{base}", 443))


def test_a_custom_domain_may_be_near_to_oktas_if_the_workflows_host_is_known() -> None:
    org("login.octa.com", has_workflows_host=True)
    require_workflows_host(Origin("https", "flows.proxy.octa.com", 443))
    with pytest.raises(CoreError, match="typo"):
        org("acme.okta.co", has_workflows_host=True)


@pytest.mark.parametrize("host", ["okta.com", "www.acme.okta.com", "acme.okta.com.okta.com", "oktapreview.com"])
def test_a_name_too_many_or_too_few_is_told(host: str) -> None:
    with pytest.raises(CoreError, match=r"exactly one name before okta(preview)?\.com"):
        org(host)


def test_a_bare_name_is_told_unless_it_is_written_as_a_url() -> None:
    org("okta", is_url=True)
    with pytest.raises(CoreError) as caught:
        org("acme")
    assert caught.value.message == "The Okta domain (Host) is a name without a domain: 'acme'."
    assert "acme.okta.com" in caught.value.hint
    with pytest.raises(CoreError, match=r"such as acme\.okta\.com"):
        org("acme-admin")


def test_an_underscore_is_told() -> None:
    with pytest.raises(CoreError, match=r"(?s)no org's name has a '_'\..*such as acme-dev\.okta\.com"):
        org("acme_dev.okta.com")


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("acme.okta.com", "acme.workflows.okta.com"),
        ("acme-admin.oktapreview.com", "acme.workflows.oktapreview.com"),
        ("acme.otka.com", "acme.workflows.okta.com"),
        ("okta.com", "acme.workflows.okta.com"),
        ("workflows.acme.okta.com", "acme.workflows.okta.com"),
    ],
)
def test_a_domain_of_an_org_is_no_workflows_host(host: str, right: str) -> None:
    with pytest.raises(CoreError) as caught:
        require_workflows_host(Origin("https", host, 443))

    assert host in caught.value.message
    assert caught.value.hint.endswith(f"Set workflows_host to {right}.")


@pytest.mark.parametrize("host", ["acme.workflows.okta.com", "acme.okta-gov.com", "flows.acme.com", "okta", "10.0.0.1"])
def test_what_may_be_a_workflows_host_is_good(host: str) -> None:
    require_workflows_host(Origin("https", host, 443))


@pytest.mark.parametrize(
    ("domain", "workflows"),
    [
        ("https://acme.okta.com", "https://acme.workflows.okta.com"),
        ("https://acme.oktapreview.com", "https://acme.workflows.oktapreview.com"),
        ("https://acme.okta-emea.com", "https://acme.workflows.okta-emea.com"),
        ("https://acme.okta-gov.com", "https://acme.workflows.okta-gov.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://login.acme.com", None),
        ("http://okta:8080", None),
    ],
)
def test_the_workflows_host_follows_from_the_domain(domain: str, workflows: str | None) -> None:
    origin = default_workflows_origin(parse_origin(domain, "the domain"))

    assert (origin.url if origin else None) == workflows


@given(st.text("acmeoktwrflspvi.-", max_size=40), st.booleans())
def test_any_host_is_good_or_has_a_fix(host: str, has_workflows_host: bool) -> None:
    with suppress(CoreError):
        org(host, has_workflows_host=has_workflows_host)
    with suppress(CoreError):
        require_workflows_host(Origin("https", host, 443))
