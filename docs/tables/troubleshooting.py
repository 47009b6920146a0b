"""The tables of docs/troubleshooting.md: each message that users may see, what it means, and what to change.

Messages and hints come from the source; only their meanings are written here. ``python -m docs.tables.troubleshooting
docs/troubleshooting.md`` writes the tables into the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from airflow_okta_workflows.checkpoints.invocation import FORGET_IT, LOOK_IT_UP
from airflow_okta_workflows.core.flows import hints as flow_hints
from airflow_okta_workflows.core.flows.hints import flow_hint
from airflow_okta_workflows.core.http import hints as http_hints
from airflow_okta_workflows.core.oauth import hints as oauth_hints
from airflow_okta_workflows.core.oauth.hints import token_hint
from docs.tables.codes import OTHER_CODES, with_targets
from docs.tables.error_texts import ErrorText, error_texts, own_letters
from tests.unit.core.oauth.test_token_request import REFUSALS

ANY = "anything"
"""Description of a refusal for which only the error code matters."""

REFUSED_TOKENS = {
    "The client_assertion token is expired.": "By the org's clock, the assertion ended before it came.",
    "The client_assertion token has an expiration too far into the future.": (
        "By the org's clock, the assertion lives for more than an hour."
    ),
    "The client_assertion token must be issued before the current time.": (
        "By the org's clock, the assertion was made in the future. The provider dates it 30 s back, so the clocks"
        " differ by more."
    ),
    "The client_assertion token has already been used.": "The same assertion came twice.",
    "The client_assertion signature is invalid.": "The kid names a public key that the private key does not belong to.",
    "The client_assertion JWT kid is invalid.": (
        "The app has no such key, or it is not active. Also seen when a key was rotated and an old one is still in use."
    ),
    "The audience claim for client_assertion must be the endpoint invoked for the request.": (
        "The request came to the org under another name than the one in the connection."
    ),
    "The issuer claim for client_assertion is not a valid client_id.": "The client id does not have the right form.",
    "The parsing of the client_assertion failed.": "The org cannot parse the assertion.",
    "The client_assertion JWT signature algorithm is invalid.": "The org does not accept the algorithm.",
    "Invalid value for 'client_id' parameter.": "There is no such app in this org, or it is deactivated.",
    "Client authentication failed. Either the client or the client credentials are invalid.": (
        "The org does not know the app, the key, or both."
    ),
    "Client Credentials requests to the Org Authorization Server must use the private_key_jwt"
    " token_endpoint_auth_method.": "The app is set to a client secret.",
    "One or more scopes are not configured for the authorization server resource.": "The org knows no such scope.",
    "You are not allowed any of the requested scopes.": "The scope was not granted to the app.",
    "The DPoP proof JWT header is missing.": "The app requires a proof of possession, as every new app does.",
    "Authorization server requires nonce in DPoP proof.": "As above.",
    "The client_assertion_type is invalid.": "The request was changed on its way.",
    "The request is made from outside the client's permitted network zones.": (
        "The app may be used only from certain addresses."
    ),
    "unauthorized_client": "The app may not request tokens in this way.",
    "unsupported_grant_type": "The server that responds is not an org.",
    "access_denied": "A policy of the org refuses the caller.",
    "invalid_request": "The request did not reach an org's own token endpoint, or was changed on its way.",
    "invalid_client": "The org does not know the app, or not with this key.",
}
"""Meaning of each refusal of the token endpoint, by its description, or by its error code if only that matters."""


class Row(NamedTuple):
    """One error whose meaning needs an explanation.

    :param text: the message in the source, or the beginning of it for one of several cases
    :param error: the class of the exception
    :param meaning: what it means
    :param hint: what to change, if the source decides that only at run time
    """

    text: str
    error: str
    meaning: str
    hint: str = ""


NO_TOKEN = [
    Row("No access token was requested: the task was stopped.", "OktaTokenError", "The task was marked failed, cleared or"
        " timed out while it waited for a token.", flow_hints.STOPPED),
    Row("No token from …: ….", "OktaTokenError", "The org was not reached in three attempts. The reason is after the"
        " colon: see [no connection](#no-connection).", http_hints.UNREACHABLE),
    Row("… returned 429 to token requests for longer than rate_limit_wait (… s).", "OktaTokenError", "The org's limit for"
        " token requests is used up, by this app or by others.", oauth_hints.ORG_RATE_LIMITED),
    Row("… returned 503 to the token request", "OktaTokenError", "Also other 5xx, and `temporarily_unavailable`: the org, or"
        " a gateway in front of it, has a problem. Three attempts failed.",
        "Try again later; if this persists, see Okta's status page."),
    Row("… returned 403 to the token request", "OktaTokenRefusedError", "Without a reason, also 404 and others, and HTML"
        " instead of JSON: this is not a token endpoint.", oauth_hints.NOT_THE_ORG),
    Row("… returned … to the token request, but ….", "OktaTokenError", "Three responses could not be read; the reason is"
        " that of an [unreadable](#unreadable) body. Something in between loses or changes a part.", oauth_hints.NOT_THE_ORG),
    Row("… redirected the token request (…).", "OktaTokenRefusedError", "This is not a token endpoint. A redirect is not"
        " followed.", oauth_hints.NOT_THE_ORG),
    Row("The token endpoint returned 200 without a usable token.", "OktaTokenRefusedError", "This is not a token endpoint."
        " Often it is the login page of a proxy.", oauth_hints.NOT_THE_ORG),
    Row("The org granted a token that needs a proof of possession.", "OktaTokenRefusedError", "The app requires a proof of"
        " possession.", oauth_hints.DPOP_TOKEN),
]  # fmt: skip

FLOW_REFUSED = [
    Row("was refused with 401 and did not run", "OktaFlowRefusedError", "The flow's host does not accept a token that the org"
        " has just granted: `Failed to authenticate request. Please check your headers`. A new one was tried, too.",
        flow_hint(401)),
    Row("was refused with 403 and did not run", "OktaFlowRefusedError", "The flow does not accept this kind of token.",
        flow_hint(403)),
    Row("was refused with 404 and did not run", "OktaFlowRefusedError", "There is no such flow at this host, or it is"
        " switched off.", flow_hint(404)),
    Row("returned 429 for longer than rate_limit_wait (… s) and did not run", "OktaFlowRateLimitedError", "The flow is"
        " invoked more often than it allows, by this Airflow or by others.", flow_hints.FLOW_RATE_LIMITED),
]  # fmt: skip

FLOW_RESPONDED = [
    Row("was invoked, and its outcome is unknown: …", "OktaFlowOutcomeUnknownError", "It was sent, and no response came."
        " The reason is after the colon: see [no response](#no-response). No retry follows.", flow_hints.OUTCOME_UNKNOWN),
    Row("was invoked, and its outcome is unknown after … attempts: …", "OktaFlowNoResponseError", "The same for a flow that is"
        " declared idempotent.", flow_hints.NO_RESPONSE),
    Row("was invoked, and its outcome is unknown; a later attempt …", "OktaFlowNoResponseError", "The same, and the last"
        " attempt was refused, or the task was stopped.", flow_hints.NO_RESPONSE),
    Row("An earlier try was cut off while it invoked flow …, and the outcome is unknown.", "OktaFlowOutcomeUnknownError",
        "The task was killed between sending and the response, and this is its retry.", LOOK_IT_UP),
    Row("The checkpoint… is of another version of this provider and cannot be read.", "OktaFlowOutcomeUnknownError",
        "The provider was changed to another version between two tries. The flow may have run.", FORGET_IT),
    Row("Flow … was invoked, its outcome is unknown, and ….", "OktaFlowOutcomeUnknownError", "With `on_unknown=\"ask\"`: a"
        " person was asked, and there is no answer; the reason is after `and`. The task is not retried."),
    Row("Flow … responded in an earlier try, and ….", "OktaFlowResponseError", "The response was too large for a checkpoint"
        " and the task was killed after it, or it could not be read.", LOOK_IT_UP),
    Row("returned …, but …", "OktaFlowResponseError", "The text after `but` says why the body cannot be used: see"
        " [unreadable](#unreadable). If there is an execution id beside the status, the flow has run."),
    Row("returned …, a redirect", "OktaFlowResponseError", "The invoke URL redirects to another address. A redirect is not followed."),
    Row("The notification was given up: it took too long.", "OktaFlowNoResponseError", "`OktaFlowNotifier` in the triggerer"
        " waited for a token, a rate limit or the response. The error is only logged."),
    Row("returned 500", "OktaFlowFailedError", "Also other 4xx and 5xx: the flow reports a failure. The execution and the"
        " flow's own message follow.", flow_hints.FLOW_FAILED),
    Row("Flow … returned …, but ….", "OktaFlowFailedError", "The flow succeeded, but the"
        " task's own `success_when`, `result` or `response_check` did not accept the response; the text after `but` says which.",
        "Compare the expression with the body in the execution history."),
]  # fmt: skip

NOT_SENT = [
    Row("could not be invoked in … attempts: …", "OktaFlowNotSentError", "No connection could be made. Nothing was sent.",
        http_hints.UNREACHABLE),
    Row("was not invoked: the task was stopped", "OktaFlowNotSentError", "The task was marked failed, cleared or timed out"
        " while it waited for a rate limit, a backoff or a token. Nothing was sent after that."),
    Row("was not invoked: …", "OktaFlowNotSentError", "The host's certificate is not trusted, or belongs to another host; or this"
        " machine's CA bundle or proxy cannot be used. Nothing was sent, and it was not tried again.", http_hints.CERTIFICATE),
    Row("No notification could be sent within … s.", "OktaFlowNotSentError", "`OktaFlowNotifier` waited for a token, a rate"
        " limit or a new connection. The callback ends, and the error is only logged."),
    Row("… may not receive the org's token.", "OktaConfigurationError", "The connection does not allow the"
        " flow's host. Nothing was sent, and no token was requested."),
]  # fmt: skip

WAITING = [
    Row("failure_when is true: …", "OktaFlowFailedError", "The status flow says that the long-running one has failed.",
        flow_hints.RUN_FAILED),
    Row("Flow … did not report an end within … s.", "AirflowSensorTimeout", "The sensor's `timeout` is over. Its last"
        " observation is below.", "Raise `timeout`, or look the long-running flow up in its execution history."),
    Row("execution_timeout is over, and flow … did not report an end.", "AirflowTaskTimeout", "The same for"
        " `execution_timeout`, which also counts while the sensor is deferred.", "Raise `execution_timeout`."),
    Row("The triggerer could not poll flow … (…), though this worker can.", "OktaWorkflowsError", "The brackets contain"
        " the error's class.", "See the triggerer's log; a key file or a CA bundle must be on the triggerer, too."),
    Row("The trigger of … fired an event that is not known here: ….", "OktaWorkflowsError", "Triggerer and worker differ."),
]  # fmt: skip

STATUS_FLOWS = [
    Row("… The status flow is asked.", "a warning", "The response of the flow was lost, or a gateway responded instead. The"
        " operator continues by itself.", "There is nothing to do."),
    Row("Flow … ran and failed: ….", "OktaFlowFailedError", "The status flow reports that the run failed. Its report is after"
        " the colon."),
    Row("The status flow … ….", "OktaFlowNoResponseError", "Its response has no status, an unknown one, or that of another"
        " run. Nothing was sent because of it."),
    Row("The run has succeeded, and the result of StatusFlow cannot be read: …", "OktaFlowNoResponseError", "The expression"
        " `result` of `StatusFlow` does not fit the response. The flow is not invoked again."),
    Row("The status flow does not know a run that has begun: its row was deleted, or never written.",
        "OktaFlowOutcomeUnknownError", "The run was seen before, and its row has been missing for the time of `settle`."),
    Row("Flow … did not end within … s.", "OktaFlowNoResponseError", "The `timeout` of `StatusFlow` is over, and the run"
        " continues."),
    Row("Flow … was invoked several times, and no invocation became a run.", "OktaFlowNoResponseError", "Each response was"
        " lost, and each time the status flow knew no run after the time of `settle`."),
    Row("The task was stopped while it waited for the end of flow ….", "OktaFlowNoResponseError", "The task was marked"
        " failed, cleared or timed out. The run continues, unless a `cancel_flow` ends it."),
    Row("execution_timeout is over, and flow … has not ended.", "AirflowTaskTimeout", "The run continues.",
        "OKW-1638: Raise execution_timeout. A retry waits for the same run."),
    Row("its checkpoint took longer than … s, so it was not sent", "OktaFlowNotSentError", "Airflow's API server is slow."
        " The invocation was tried three times.", "Look at the load of the API server and its database. A retry is safe."),
    Row("Flow … could not be asked to cancel the run: …", "a warning", "The `cancel_flow` was refused, or did not respond"
        " within 3 s. The run continues.", "See the reason after the colon."),
]  # fmt: skip

BATCH = [
    Row("… of … invocations failed (…).", "OktaFlowFailedError", "Or `OktaFlowOutcomeUnknownError`, if the outcome of every item"
        " that did not succeed is unknown. The first five follow.", "Look at each record's error in the XCom `records`."),
    Row("The payloads have changed since an earlier try of this task: … that were sent are not among them.",
        "OktaConfigurationError", "A retry compares position and content of its items, and does not find them."),
    Row("The file of payloads cannot be read: ….", "OktaBatchFileError", "It is missing or incomplete, or the file system is"
        " unreachable. A retry may find it."),
    Row("The query of the payloads failed: ….", "OktaBatchFileError", "The first line of the database's message follows."),
    Row("The records of the batch cannot be written: ….", "OktaBatchFileError", "For example, the disk of `records_path` is full, or"
        " the path cannot be written to. The task waited for open calls.", "OKW-1652: Make room, and let Airflow retry: the outcomes"
        " are in the checkpoints (Airflow 3.3+), and nothing is sent twice. Before 3.3 a retry sends all items again. OKW-1651"
        " (nothing was sent): correct `records_path`, or its permissions."),
    Row("The records of the batch cannot be written: another process has changed the file or deleted it.", "OktaBatchFileError",
        "For example, two DAG runs have the same `records_path`. The task waited for open calls."),
    Row("The temporary file of the batch cannot be used: ….", "OktaBatchFileError", "The worker's disk is full: payloads and"
        " records of a batch are kept there while it runs."),
    Row("The checkpoint of flow … is of another version of this provider and cannot be read.", "OktaFlowOutcomeUnknownError",
        "The provider was changed to another version between two tries. Any item may have run, and none is sent.", FORGET_IT),
]  # fmt: skip

SETTINGS: dict[str, tuple[str, ...]] = {
    "fields of the connection": (
        "connection/reader.py", "connection/field_reader.py", "connection/serialized.py", "connection/key_place.py",
        "core/okta_hosts.py", "core/addresses.py", "core/numbers.py", "tokens/source.py",
        "pace/configured.py",
    ),
    "network": ("core/http/proxies.py", "transport/network.py"),
    "keys": ("core/keys/parsing.py", "core/keys/work.py", "core/keys/pem.py", "core/keys/jwk.py", "core/keys/signing.py", "core/keys/rsa_numbers.py"),
    "arguments": (
        "core/flows/expressions.py", "core/flows/expression_checks.py", "core/flows/encoding.py", "core/flows/invocation.py", "core/batch/items.py",
        "core/batch/sources.py", "operators/batch_arguments.py", "operators/batch_source.py", "core/flows/values.py",
        "core/flows/status.py", "operators/base.py", "operators/invoke.py", "operators/records_file.py",
        "operators/status_flow.py", "operators/question.py", "operators/on_unknown.py", "operators/asking.py",
        "decorators/okta_workflows.py", "notifications/okta_workflows.py",
    ),
    "check": ("diagnostics.py", "core/oauth/server_metadata.py", "core/oauth/clock_skew.py"),
    "command line": (
        "cli/check.py", "cli/connection.py", "cli/connection_file.py", "emulator/public_keys.py", "emulator/profile.py",
        "cli/conformance.py", "cli/emulator.py", "cli/hook.py", "cli/invoke.py", "cli/keygen.py",
    ),
}  # fmt: skip
"""Tables of messages that need no explanation, with the modules that have them."""

_SAYS_ALL = (
    "configuration_error", "_report", "problems", "OktaConfigurationError", "ExpressionError", "UsageError", "CommandFailedError",
)  # fmt: skip
_MORE = {
    "… is not a connection as JSON, YAML, URI or variable": "Compare it with those in [the connection](connection.md).",
    "… contains no connection": "Name a file that has one of type okta_workflows.",
    "… contains the connections …: name one of them with --conn-id": "Add --conn-id.",
    "--connections keeps a client id and a private key: leave out --public-key and --client-id": "Leave them out.",
    "… cannot be read: ….": "Check the path.",
    "… cannot be used. … …": "The text below says where the file of flows raised an error.",
    "… cannot be read: there is no home directory for its ~": "Write the whole path.",
    "result selects nothing: …": "Let the flow return a JSON object, or correct the expression.",
    "payloads is of type …, not a list.": "Give a list of payloads, the XCom of a task that returns one, or a callable that does.",
    "… is set, but Airflow cannot read a connection from it.": "Write it as JSON or as a URI, as on"
    " [the connection](connection.md).",
    "… … cannot be evaluated over the response: …": "The body is not of the form that the expression expects: compare"
    " it with the body in the execution history.",
    "item_key … gives …, neither a string nor a whole number.": "Name a member that each payload has. Nothing was sent.",
    "item_key … cannot be evaluated over it.": "Name a member that each payload has. Nothing was sent.",
    "The header … cannot be set.": "The provider sets it, or HTTP itself. The key goes into idempotency_key.",
    "… gave no response: ….": http_hints.UNREACHABLE,
    "give either --conn-id or --file": "Leave one of them out.",
    "--yes requires --flow": "Name a flow, or leave --yes out.",
    "--flow asks before it invokes the flow, and nobody is here to confirm: add --yes": "Add it, if the flow may run.",
    "it asks before it sends anything, and nobody is here to confirm: add --yes": "Add it, if the requests may be sent.",
    "Not confirmed: nothing was sent.": "Answer y, or add --yes.",
    "no shell can set a variable for the id …: use --format json or --add": "Or take an id of letters, digits and _.",
    "the connection does not work yet, so it is neither printed nor added.": "Fix the step above that failed.",
    "--replace requires --add": "Add --add, or leave --replace out.",
    "The local org cannot listen on …:…: …": "Choose another --port, or leave it out for a free one; --host is an address of this"
    " machine.",
    "--tls-cert and --tls-key go together: the certificate, and the key that it is for.": "Give both, or neither.",
    "… and … cannot be used for TLS: …": "Give a certificate as PEM, with its chain, and its unencrypted key.",
    "… cannot be used: …": "Name another file for --connections, or remove it: the next start writes a new one.",
    "… cannot be used. …": "The lines below it show where the file of flows raised an error.",
    "… defines no function that could be a flow.": "Mark one with flow(), or write one whose name begins with no _.",
    "Airflow has no connection …. …": "Name another with --conn-id, or make it.",
    "… cannot be read: …": "Check the path.",
    "… is not a connection as JSON, as for airflow connections add --conn-json": "Compare it with those in"
    " [the connection](connection.md).",
    "the payload … cannot be read: …": "Check the path behind the @.",
    "the payload … is not text in UTF-8": "Save it as UTF-8.",
    "… cannot be written: ….": "Choose a directory that you may write to.",
    "This machine's clock makes every client assertion invalid.": "Set this machine's clock (NTP). The next line says by"
    " how much it is off.",
}
"""What to change, if the source has no separate hint, or decides it only at run time."""

_CODE = len("OKW-1234: ")
_TELLING = 4
"""Literal letters that a user needs to find a message."""
_LISTS_FAULTS = "Connection … cannot be used: …"

WARNINGS = {
    "the field … in extra is not known and is ignored…": "The nearest known field is named beside it.",
    "the field … in extra is read as …": "Another spelling of the name. Use the field's own name.",
    "the field … in extra is read as private_key, but Airflow may show it in clear text: rename it": "The form and the REST API show the key to everyone who may read connections. Rename the field to `private_key`"
    " and, if others may have read the key, [replace it](key-rotation.md).",
    "the path in … is ignored: only the org's own authorization server, …, grants tokens for flows": "Remove the path.",
    "Flow …: … The result is null.": "The response has no member that `result` refers to. The warning names the members that it has.",
    "Flow …: … The sensor goes on until its timeout.": "The response has no member that `success_when` refers to, so the"
    " condition can never be true. The warning names the members that it has.",
    "… is …: tokens travel in clear text (insecure_http is set)": "Use this only for a local org.",
    "verify is false: anyone between here and the org can read the tokens": "Set `verify` to a CA bundle instead.",
    "Access tokens are not shared between processes: …. Each process asks for its own. Set token_cache_dir under"
    " [okta_workflows] to a directory of your own, or token_cache to memory.": "The directory of the token cache is missing,"
    " or does not belong to this user alone. Tasks run, with more token requests.",
    "The pace of flows is not shared between processes: …. Each process keeps its own pace. Set token_cache_dir under"
    " [okta_workflows] to a directory of your own, or pace to process.": "The same for the pace of flows: each process"
    " keeps to the rate by itself, and together they may exceed it. Some invocations then receive 429 and are sent again.",
    "The pace of flows is not shared between processes: a process that was stopped has locked a file *.pace in …. Each"
    " process keeps its own pace. Continue or end that process, which has the file open.": "A process holds the lock for"
    " microseconds, unless a signal or a debugger stops it. `fuser` lists the processes that have a file open.",
    "The pace of flows is not shared between hosts: Redis at … cannot be used (…). Until it can, each host keeps its own pace."
    " Check the server, and redis_url under [okta_workflows].": "Each host keeps to the rate by itself, and together they may"
    " exceed it. Some invocations then receive 429 and are sent again. The reason is in the brackets. See [one pace for"
    " several hosts](reliability.md#one-pace-for-several-hosts).",
    "Polls of flow … wait up to … s for their turn: together they exceed [okta_workflows] flow_rate, or the flow returned"
    " 429. Raise poke_interval of its sensors, or spread them over copies of the flow.": "Its sensors are slower than `poke_interval`"
    " says, and none fails for it. Only the waits for turns count, and not those after a 429 of the poll itself. See [scaling](scaling.md#sensors).",
    "max_rate is …, but all who invoke a flow share …/s. Raise [okta_workflows] flow_rate if the flow takes more, or lower"
    " max_rate.": "`max_rate` only lowers the share of one batch.",
    "The access token could not be kept in …: …": "The same: the disk is full, or cannot be written.",
    "the access token could not be renewed before it expires: …": "The old token is still valid; the renewal is tried again.",
    "Connection … could not be looked up again: …": "In the triggerer: the known connection stays in use.",
    "Poll failed, … of … in a row: …": "If more than `max_failed_polls` fail, the sensor fails.",
    "The triggerer did not hand over what flow … returned (…). It is invoked from here, under the same key.": "In the"
    " brackets: `the response is too large` (over 64 KiB), that the key was changed, or the class of an error; then the"
    " triggerer's log says more.",
    "The response of flow … has … bytes and is stored without its body: if this task is cut off now, a retry knows"
    " that the flow has run, but not what it returned": "Let the flow return less.",
    "An earlier try was cut off while it invoked flow …, which may have run. It is declared idempotent, so it is invoked"
    " again under the same key (…)": "There is nothing to do.",
    "The outcome of flow … could not be stored": "Airflow's state store is unreachable. If the task is killed now, its retry"
    " finds less.",
    "The outcome of some invocations could not be stored": "The same for a batch.",
    "Further failures are counted, and are only in the records": "Ten have been logged.",
    "The end of the batch could not be stored": "The same. Still, nothing is sent again: the outcomes are stored.",
    "… payloads cannot be sent, such as …": 'With `on_error="collect"`: each is a failed record, which says why.',
    "… items that an earlier try has sent are not among the payloads any more. They are not sent, and their records follow"
    " those of the others.": "The file or the result of the query has changed since. If you did not intend that, find out what"
    " changes it.",
    "… A person is asked, under Required Actions (idempotency key …)": 'With `on_unknown="ask"`: the task waits until'
    " someone answers there.",
    "The outcome of … items is unknown. A person is asked, under Required Actions": "The same for a batch.",
    "Metrics or traces cannot be sent: …. Invocations go on without them, and further errors are not logged. Check [metrics],"
    " [traces] and the span processors of this Airflow.": "A metrics client or a span processor raised an error, whose class is"
    " named. What becomes of a flow does not depend on it.",
    "The answer cannot be used: … The question is asked again.": "Answer again under Required Actions; the warning gives the"
    " reason.",
}
"""Warnings in the log, and their meanings."""


def tables() -> dict[str, str]:
    """Return all tables of the page in Markdown, by name."""
    texts = error_texts()
    meant = {row.text for rows in _WITH_MEANING.values() for row in rows}
    return {
        "refused tokens": _refused_tokens(),
        **{name: _with_meaning(rows, texts) for name, rows in _WITH_MEANING.items()},
        **{name: _settings(modules, texts, meant) for name, modules in SETTINGS.items()},
        "other codes": markdown_table(("it means", "what to change"), OTHER_CODES),
        "warnings": markdown_table(
            ("the log says", "it means"), [(_code(text), meaning) for text, meaning in WARNINGS.items()]
        ),
    }


_WITH_MEANING = {
    "no token": NO_TOKEN,
    "refused flows": FLOW_REFUSED,
    "responses": FLOW_RESPONDED,
    "not sent": NOT_SENT,
    "status flows": STATUS_FLOWS,
    "waiting": WAITING,
    "batch": BATCH,
}


def _refused_tokens() -> str:
    rows = []
    for _, error, description, _ in REFUSALS:
        said = f"`{error}`, with another text" if description == ANY else f"`{error}`: {_code(description)}"
        meaning = REFUSED_TOKENS[error if description == ANY else description]
        rows.append((said, meaning, token_hint(error, description, None)))
    return markdown_table(("the org says", "it means", "what to change"), rows)


def _with_meaning(rows: Sequence[Row], texts: Sequence[ErrorText]) -> str:
    hints: dict[str, str] = {}
    for text in texts:
        what, rest = divided(text.text)
        hints |= {text.text: text.hint or rest, what: text.hint or rest}
    return markdown_table(
        ("the error says", "it means", "what to change"),
        [
            (
                _code(row.text),
                f"`{row.error}`. {row.meaning}",
                _coded(row.hint or hints[row.text], hints.get(row.text, "")),
            )
            for row in rows
        ],
    )


def _coded(fix: str, hint: str) -> str:
    """Return what to change, after the code that the source's hint has."""
    return hint[:_CODE] + fix if hint.startswith("OKW-") and not fix.startswith("OKW-") else fix


def _settings(modules: tuple[str, ...], texts: Sequence[ErrorText], meant: set[str]) -> str:
    rows: dict[tuple[str, str], None] = {}
    for module in modules:
        for text in texts:
            if text.module == module and text.how in _SAYS_ALL and text.text not in {*meant, _LISTS_FAULTS}:
                what, hint = (text.text, text.hint) if text.hint else divided(text.text)
                shown = what if own_letters(what) >= _TELLING else f"{what} {hint}"
                rows[_code(shown), _coded(_MORE.get(what, hint), hint)] = None
    return markdown_table(("the error says", "what to change"), list(rows))


def divided(text: str) -> tuple[str, str]:
    """Return a message in two parts: what happened, and what to change, which may be empty.

    :param text: the message
    """
    what, *rest = re.split(r"(?<=[.:]) (?=[A-Z])", text, maxsplit=1)
    return what, rest[0] if rest else ""


def _code(text: str) -> str:
    return f"`{text}`"


def markdown_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table in Markdown.

    :param head: its head
    :param rows: its rows; a newline in a cell becomes a line break
    """
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|").replace("\n", "<br>") for cell in line) + " |" for line in lines
    )


def written_into(page: str, write: Callable[[], dict[str, str]] = tables) -> str:
    """Return the page with each table replaced.

    :param page: the page
    :param write: returns the tables by name
    """
    for name, table in write().items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        head, found, rest = page.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"the page has no place for the table {name!r}")
        page = f"{head}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}"
    return with_targets(page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written_into(path.read_text()))
