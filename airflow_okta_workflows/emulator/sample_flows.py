"""Sample flows for the local org, which the example DAGs need.

They show how to write flows for Airflow: a long-running flow first writes a row under its ``Idempotency-Key``, responds
early and continues (``provision``); a second flow finds the row and reports the status (``provision_status``); a flow
that is invoked twice under the same key takes effect once (``create_account``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator.cards import FlowRequest, ReturnError
from airflow_okta_workflows.emulator.status_table import StatusTable

if TYPE_CHECKING:
    from collections.abc import Callable


def sample_flows(
    *, provisioning_seconds: float = 8.0, clock: Callable[[], float] = Runtime.monotonic
) -> dict[str, Callable[[FlowRequest], Any]]:
    """Return new sample flows by name, which share no data with those of another call.

    :param provisioning_seconds: how long ``provision`` takes
    :param clock: returns the time in seconds
    """
    accounts: dict[str, dict[str, Any]] = {}
    accounts_by_key: dict[str, str] = {}
    table = StatusTable(provisioning_seconds, clock=clock)

    def hello(request: FlowRequest) -> Any:
        return {"greeting": f"Hello, {(request.body or {}).get('name', 'world')}!"}

    def create_account(request: FlowRequest) -> Any:
        email = (request.body or {}).get("email")
        if not email:
            return ReturnError(400, "email is missing")
        # The same key means the same invocation, sent again: return the existing account.
        key = request.idempotency_key or request.execution_id
        account_id = accounts_by_key.setdefault(key, f"00u{len(accounts) + 1:07d}")
        account = accounts.setdefault(account_id, {"id": account_id, "email": email, "status": "STAGED"})
        return {"account": account}

    def add_to_group(request: FlowRequest) -> Any:
        membership = request.body or {}
        if membership.get("account_id") not in accounts:
            return ReturnError(404, "there is no such account")
        return {"group": membership.get("group"), "added": True}

    @table.worker_flow
    def provision(request: FlowRequest) -> Any:
        fields = request.body or {}
        if fields.get("fail"):
            raise RuntimeError("no licence is left")
        return {"account_id": fields.get("account_id"), "applications": ["mail", "chat", "wiki"]}

    def send_welcome(request: FlowRequest) -> Any:
        return {"sent": True, "groups": len((request.body or {}).get("groups", []))}

    def list_members(request: FlowRequest) -> Any:
        if not (request.body or {}).get("group"):
            return ReturnError(400, "group is missing")
        names = ("ada", "alan", "barbara", "edsger", "grace", "katherine", "ken", "linus", "margaret", "tim")
        return {
            "members": [{"id": f"00u{number:07d}", "email": f"{name}@example.com"} for number, name in enumerate(names)]
        }

    def review_access(request: FlowRequest) -> Any:
        member = request.body or {}
        if member.get("email", "").startswith("linus"):
            return ReturnError(409, "this account is locked")
        return {"id": member.get("id"), "keep": not str(member.get("id")).endswith("3")}

    def offboard(request: FlowRequest) -> Any:
        leaver = request.body or {}
        if not leaver.get("email"):
            return ReturnError(400, "email is missing")
        return {"employee_id": leaver.get("employee_id"), "suspended": True}

    def list_accounts(request: FlowRequest) -> Any:
        if not (request.body or {}).get("application"):
            return ReturnError(400, "application is missing")
        last_logins = {"ada": "2026-10-30", "alan": "2025-02-11", "grace": "2026-11-02", "ken": "2024-12-24"}
        return {
            "accounts": [
                {"id": f"00u{number:07d}", "email": f"{name}@example.com", "last_login": last_login}
                for number, (name, last_login) in enumerate(last_logins.items())
            ]
        }

    def revoke_access(request: FlowRequest) -> Any:
        if not (request.body or {}).get("account_id"):
            return ReturnError(400, "account_id is missing")
        return {"revoked": True}

    return {
        "hello": hello,
        "create_account": create_account,
        "add_to_group": add_to_group,
        "provision": provision,
        "provision_status": table.status_flow,
        "send_welcome": send_welcome,
        "list_members": list_members,
        "review_access": review_access,
        "offboard": offboard,
        "list_accounts": list_accounts,
        "revoke_access": revoke_access,
    }
