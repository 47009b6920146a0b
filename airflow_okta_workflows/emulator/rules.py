"""The numbered rules of the local org: what each claims of Okta, and how an org that keeps it responds.

They are defined only here. The local org responds as these observations say, ``okta-workflows conformance`` compares
them with those of a real org, and docs/local-org.md lists them. A profile replaces some of them.

An observation is a small JSON object, in which placeholders such as ``<id>`` stand for what differs from org to org. It
is either facts, such as ``{"seconds": 60}``, or the outcome of one request:

- a response: ``status``, its media type ``type``, its body as ``body`` (JSON) or ``text``, and for the time limit
  ``execution_id``, whether it names the execution;
- ``{"accepted": true}``: the request was accepted;
- ``{"lost": …}``: the connection ended without a response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_okta_workflows.core.flows.response import EXECUTION_HEADER
from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS
from airflow_okta_workflows.core.oauth.token_request import TOKEN_PATH

Observation = dict[str, Any]
RATE_HEADERS = ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset")
ACCEPTED: Observation = {"accepted": True}
RESET = "the connection was reset"
AS_GIVEN = "as given"
"""Status of a response whose flow chose it."""

_JSON = "application/json"
_NEVER_ACCEPTED = ("T1", "T13", "T14", "T24", "T27", "F7", "R3", "R4", "L2", "L4")
"""Rules of which the outcome is always a response: there is nothing to refuse, or nothing to go on with."""
_ALTERS_THE_APP = "it would take a change of the app"
_BUDGET_USED_UP = "the budget of token requests is used up"
_NO_SUCH_FLOW = "none of the flows shows it"


@dataclass(frozen=True)
class Rule:
    """One rule of the local org.

    :param id: its number
    :param claim: what the local org claims, as a sentence
    :param expected: the observation of an org that keeps it
    :param inferred: whether no source of Okta's confirms it
    :param unprobed: why ``okta-workflows conformance`` does not try it; empty if it does
    :param playable: whether a profile can make the local org break it
    """

    id: str
    claim: str
    expected: Observation
    inferred: bool = False
    unprobed: str = ""
    playable: bool = True

    @property
    def is_outcome(self) -> bool:
        """Whether its observation is the outcome of one request, not facts."""
        return not self.expected.keys().isdisjoint(("body", "accepted", "lost"))

    @property
    def may_be_accepted(self) -> bool:
        """Whether the local org can accept what the rule is about."""
        return self.is_outcome and self.id not in _NEVER_ACCEPTED


def _invalid_client(description: str) -> Observation:
    return _refusal(401, "invalid_client", description)


def _refusal(status: int, error: str, description: str) -> Observation:
    return {"status": status, "type": _JSON, "body": {"error": error, "error_description": description}}


def _message(status: int | str, text: str) -> Observation:
    return {"status": status, "type": _JSON, "body": {"message": text}}


_UNAUTHORIZED = "Failed to authenticate request. Please check your headers"
_ALREADY_USED = "The client_assertion token has already been used."
_UNKNOWN_CLIENT = "Invalid value for 'client_id' parameter."

METADATA = (
    Rule("M1", "The org's metadata is public.", {"status": 200, "type": _JSON}),
    Rule(
        "M2",
        "The metadata names the org itself as the issuer, and its token endpoint.",
        {"issuer": "<domain>", "token_endpoint": f"<domain>{TOKEN_PATH}"},
    ),
    Rule(
        "M3",
        "The metadata lists the grant type client_credentials and the method private_key_jwt.",
        {"client_credentials": True, "private_key_jwt": True},
        inferred=True,
    ),
    Rule(
        "M4",
        "The metadata lists the signature algorithms of assertions.",
        {"algorithms": sorted(ALGORITHMS)},
        inferred=True,
    ),
)

TOKENS = (
    Rule(
        "T1",
        "A valid request is granted a Bearer token with the scopes that it asks for.",
        {
            "status": 200,
            "type": _JSON,
            "body": {"access_token": "<token>", "expires_in": "<seconds>", "scope": "<scope>", "token_type": "Bearer"},
        },
    ),
    Rule("T2", "A token lives for one hour.", {"expires_in": 3600}),
    Rule("T3", "An assertion with a jti is granted a token once.", _invalid_client(_ALREADY_USED)),
    Rule("T4", "An expired assertion is refused.", _invalid_client("The client_assertion token is expired.")),
    Rule(
        "T5",
        "An assertion may expire at most one hour ahead.",
        _invalid_client("The client_assertion token has an expiration too far into the future."),
    ),
    Rule(
        "T6",
        "An assertion must not be issued in the future.",
        _invalid_client("The client_assertion token must be issued before the current time."),
    ),
    Rule(
        "T7",
        "The audience is the token endpoint; the issuer is refused.",
        _invalid_client("The audience claim for client_assertion must be the endpoint invoked for the request."),
    ),
    Rule(
        "T8",
        "Issuer and subject have to look like a client id.",
        _invalid_client("The issuer claim for client_assertion is not a valid client_id."),
    ),
    Rule("T9", "An unknown client id is refused.", _invalid_client(_UNKNOWN_CLIENT)),
    Rule("T10", "An unknown kid is refused.", _invalid_client("The client_assertion JWT kid is invalid.")),
    Rule(
        "T11",
        "A signature by another key is refused.",
        _invalid_client("The client_assertion signature is invalid."),
    ),
    Rule(
        "T12",
        "Algorithms other than RS and ES are refused.",
        _invalid_client("The client_assertion JWT signature algorithm is invalid."),
    ),
    Rule(
        "T13",
        "An assertion that is no JWT is refused.",
        _invalid_client("The parsing of the client_assertion failed."),
    ),
    Rule(
        "T14",
        "A request without an assertion is refused.",
        _invalid_client(
            "Client Credentials requests to the Org Authorization Server must use the private_key_jwt"
            " token_endpoint_auth_method."
        ),
        inferred=True,
    ),
    Rule(
        "T15",
        "Another client_assertion_type is refused.",
        _refusal(400, "invalid_request", "The client_assertion_type is invalid."),
    ),
    Rule(
        "T16",
        "Another grant type is refused.",
        _refusal(400, "unsupported_grant_type", "The authorization grant type is not supported."),
        inferred=True,
    ),
    Rule(
        "T17",
        "A scope that the org does not know is refused.",
        _refusal(400, "invalid_scope", "One or more scopes are not configured for the authorization server resource."),
    ),
    Rule("T18", "A refused request uses the jti up, too.", _invalid_client(_ALREADY_USED)),
    Rule(
        "T19",
        "A scope that is not granted to the app is refused.",
        _refusal(400, "consent_required", "You are not allowed any of the requested scopes."),
    ),
    Rule("T20", "An assertion without a jti is accepted.", ACCEPTED),
    Rule(
        "T21",
        "Parameters in the query are refused: they belong in the body.",
        _refusal(400, "invalid_request", "The request must be a POST with its parameters in the body."),
        inferred=True,
    ),
    Rule("T22", "A granted token comes without rate limit headers.", {"headers": []}, inferred=True),
    Rule(
        "T23",
        "An assertion without a number as exp is refused.",
        _invalid_client("The client_assertion token is expired."),
        inferred=True,
        unprobed=_BUDGET_USED_UP,
    ),
    Rule(
        "T24",
        "With several keys, an assertion without kid is refused.",
        _invalid_client("The client_assertion JWT kid is invalid."),
        unprobed=_ALTERS_THE_APP,
    ),
    Rule(
        "T25",
        "With Proof of possession, a request without a proof is refused.",
        _refusal(400, "invalid_dpop_proof", "The DPoP proof JWT header is missing."),
        unprobed=_ALTERS_THE_APP,
    ),
    Rule(
        "T26",
        "An app that is not active is refused.",
        _invalid_client(_UNKNOWN_CLIENT),
        inferred=True,
        unprobed=_ALTERS_THE_APP,
    ),
    Rule(
        "T27",
        "An app without a public key is refused.",
        _invalid_client("The client does not have a JWKSet configured."),
        unprobed=_ALTERS_THE_APP,
    ),
    Rule(
        "T28",
        "A request from outside the app's network zones is refused.",
        _refusal(403, "access_denied", "The request is made from outside the client's permitted network zones."),
        unprobed=_ALTERS_THE_APP,
    ),
    Rule(
        "T29",
        "A body that is not URL-encoded is refused.",
        _refusal(400, "invalid_request", "The body must be application/x-www-form-urlencoded."),
        inferred=True,
        unprobed=_BUDGET_USED_UP,
    ),
)

FLOWS = (
    Rule("F1", "A flow sees the members of a JSON body.", {"members": True}, playable=False),
    Rule("F2", "GET invokes a flow, which sees the query.", ACCEPTED),
    Rule("F3", "Other methods are refused.", _message(405, "Use GET or POST"), inferred=True),
    Rule("F4", "Without a token, a request is refused.", _message(401, _UNAUTHORIZED), inferred=True),
    Rule("F5", "With an unknown token, a request is refused.", _message(401, _UNAUTHORIZED)),
    Rule(
        "F6",
        "A token that was requested under the wrong one of the org's domains is refused.",
        _message(401, _UNAUTHORIZED),
        unprobed="it would take another domain of the org",
    ),
    Rule("F7", "An unknown alias is not found.", _message(404, "The flow was not found"), inferred=True),
    Rule("F8", "A flow that is off is not found.", _message(404, "The flow is not active"), inferred=True),
    Rule(
        "F9",
        "A flow with a client token accepts no access token.",
        _message(403, "This flow is not secured with OAuth 2.0"),
        inferred=True,
    ),
)

CARDS = (
    Rule("R1", "Return responds 200 with a JSON object.", {"status": 200, "type": _JSON}),
    Rule(
        "R2",
        "Close responds with its status and with an object as JSON.",
        {"status": 200, "type": _JSON},
        inferred=True,
    ),
    Rule(
        "R3", "Return Error responds with its status and its message.", _message(AS_GIVEN, "<message>"), inferred=True
    ),
    Rule("R4", "A flow that fails responds 500.", _message(500, "The flow failed with <error>"), inferred=True),
    Rule("R5", "A Return inside If/Else ends the flow.", {"returned": "inside"}, inferred=True),
    Rule("R6", "Close responds while the flow goes on.", {"early": True}, playable=False),
    Rule(
        "R7",
        "A flow without a Return card responds 200, empty.",
        {"status": 200},
        inferred=True,
        unprobed=_NO_SUCH_FLOW,
        playable=False,
    ),
    Rule(
        "R8",
        "Pause responds with its values and the execution id.",
        {"execution_id": True},
        inferred=True,
        unprobed="whether such a flow can pause is doubtful",
        playable=False,
    ),
)

EXECUTIONS = (
    Rule(
        "E1",
        "The response of a flow names its execution in a header.",
        {"header": EXECUTION_HEADER, "form": "uuid"},
        inferred=True,
    ),
    Rule("E2", "The response of Return Error names it, too.", {"execution_id": True}, inferred=True),
    Rule("E3", "The response of a flow that fails names it, too.", {"execution_id": True}, inferred=True),
    Rule("E4", "The response of Close names it, too.", {"execution_id": True}, inferred=True),
    Rule("E5", "A refused request has no execution id.", {"execution_id": False}, inferred=True),
)

LIMITS = (
    Rule("L1", "An invocation is cut off after 60 s.", {"seconds": 60}),
    Rule("L2", "At this limit, the connection is reset without a response.", {"lost": RESET}, inferred=True),
    Rule("L3", "Each flow accepts 10 invocations per second.", {"accepted_at_once": 10}),
    Rule(
        "L4",
        "Further invocations are refused with 429.",
        {
            "status": 429,
            "type": _JSON,
            "body": {
                "errorCode": "E0000047",
                "errorSummary": "API call exceeded rate limit due to too many requests.",
                "errorCauses": [],
            },
        },
        inferred=True,
    ),
    Rule("L5", "A 429 has headers that say when the limit resets.", {"headers": list(RATE_HEADERS)}, inferred=True),
    Rule(
        "L6",
        "The limit counts the last second, not that of the clock.",
        {"window": "sliding"},
        inferred=True,
    ),
    Rule("L7", "Other responses of a flow have no rate limit headers.", {"headers": []}, inferred=True),
)

CONNECTIONS = (
    Rule("C1", "Responses of the token endpoint have a Date.", {"date": True}, inferred=True),
    Rule("C2", "Responses of a flow have a Date.", {"date": True}, inferred=True),
    Rule("C3", "The token endpoint keeps a connection open.", {"kept": True}, inferred=True),
    Rule("C4", "The flows' host keeps a connection open.", {"kept": True}, inferred=True),
    Rule("C5", "The org speaks TLS 1.3 with a trusted certificate.", {"tls": "TLSv1.3"}, inferred=True, playable=False),
)

RULES = {rule.id: rule for rule in (*METADATA, *TOKENS, *FLOWS, *CARDS, *EXECUTIONS, *LIMITS, *CONNECTIONS)}
"""All rules by number, in the order of the documentation."""

RETURNS = ("inside", "behind")
"""Which of two Return cards responds: the one in a branch of If/Else, or the one behind the block."""

WINDOWS = ("sliding", "second", "bucket", "other")
"""How invocations per second may be counted: in the last second, in one of the clock, or by a bucket that refills."""
