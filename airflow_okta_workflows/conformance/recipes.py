"""The flows that the probes invoke: how each is built in Okta, and the same flows for the local org."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.emulator.cards import Close, FlowRequest, ReturnError, ReturnInIfElse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.addresses import FlowAddress
    from airflow_okta_workflows.emulator.state import OrgState

PREFIX = "conformance_"
SLOW_SECONDS = 70
CLOSED_SECONDS = 20
"""Seconds for which the flow ``close`` goes on after its response."""
ERROR_STATUS, ERROR_MESSAGE = 422, "conformance asked for this error"
CLIENT_TOKEN = "client_token"  # noqa: S105  # the name of a flow


@dataclass(frozen=True)
class Recipe:
    """One flow to build.

    :param name: its name in the connection, without the prefix
    :param cards: its cards behind API Endpoint, in order
    """

    name: str
    cards: tuple[str, ...]


RECIPES = (
    Recipe(
        "echo",
        (
            "API Endpoint: in its body the text message, in its query the text parameter",
            "Return: message = the body's message, parameter = the query's parameter",
        ),
    ),
    Recipe("slow", (f"Wait For: delay {SLOW_SECONDS}, unit second", "Return: status = DONE")),
    Recipe(
        "failing",
        (
            "API Endpoint: in its body the text json",
            "JSON Parse: the body's json",
            f"Return Error: status {ERROR_STATUS}, message {ERROR_MESSAGE}",
        ),
    ),
    Recipe("off", ("Return: status = ON", "then leave the flow off, and switch the others on")),
    Recipe(
        "branch",
        (
            "API Endpoint: in its body the true/false inside",
            "If/Else: the body's inside is true",
            "in its first branch Return: where = inside",
            "behind the block Return: where = behind",
        ),
    ),
    Recipe(
        "close",
        ('Close: status 200, body {"status": "RUNNING"}', f"behind it Wait For: delay {CLOSED_SECONDS}, unit second"),
    ),
)


def recipes_text() -> str:
    """Return the recipes as text for people."""
    lines = [
        f"Up to {len(RECIPES)} small flows, each with API Endpoint as its first card, secured with OAuth 2.0:",
        "",
    ]
    for recipe in RECIPES:
        lines.append(f"{PREFIX}{recipe.name}")
        lines += [f"  {number}. {card}" for number, card in enumerate(_with_endpoint(recipe.cards), 1)]
        lines.append("")
    lines += [
        "Add them to flows of the connection under these names, or name them with --flow, such as",
        "--flow echo=<alias or invoke URL>. A flow that does not exist is not tried.",
        "",
        "A flow of yours that is secured with a client token can be named, too, and is refused without a run:",
        f"--flow {CLIENT_TOKEN}=<alias>.",
    ]
    return "\n".join(lines)


def _with_endpoint(cards: tuple[str, ...]) -> tuple[str, ...]:
    return cards if cards[0].startswith("API Endpoint") else ("API Endpoint", *cards)


def find_flows(settings: OktaWorkflowsSettings, named: Mapping[str, str]) -> dict[str, FlowAddress]:
    """Return the flows that exist for a run, by their names without the prefix.

    :param settings: the connection
    :param named: further flows that the user names, by alias or invoke URL
    :raises CoreError: if one of those cannot be used
    """
    names = [*(recipe.name for recipe in RECIPES), CLIENT_TOKEN]
    found = {name: settings.flows[f"{PREFIX}{name}"] for name in names if f"{PREFIX}{name}" in settings.flows}
    return {**found, **{name: settings.find_flow(target) for name, target in named.items()}}


def add_conformance_flows(org: OrgState) -> None:
    """Add the flows of the recipes to a local org, and one that is secured with a client token.

    :param org: the org
    """

    def echo(request: FlowRequest) -> Any:
        return {"message": (request.body or {}).get("message"), "parameter": request.query.get("parameter")}

    async def slow(_: FlowRequest) -> Any:
        await asyncio.sleep(SLOW_SECONDS)
        return {"status": "DONE"}

    def failing(request: FlowRequest) -> Any:
        json.loads((request.body or {})["json"])
        return ReturnError(ERROR_STATUS, ERROR_MESSAGE)

    def off(_: FlowRequest) -> Any:
        return {"status": "ON"}

    def branch(request: FlowRequest) -> Any:
        behind = {"where": "behind"}
        return ReturnInIfElse({"where": "inside"}, behind) if (request.body or {}).get("inside") else behind

    def close(_: FlowRequest) -> Any:
        return Close(200, {"status": "RUNNING"})

    functions = {"echo": echo, "slow": slow, "failing": failing, "off": off, "branch": branch, "close": close}
    for name, function in functions.items():
        org.flow(f"{PREFIX}{name}")(function)
    org.flows[f"{PREFIX}off"].active = False
    org.flow(f"{PREFIX}{CLIENT_TOKEN}", security="client_token")(off)
