"""All situations, by kind."""

from __future__ import annotations

from tests.integration.situations.conditions import CONDITIONS
from tests.integration.situations.connections import CONNECTIONS
from tests.integration.situations.keys import KEYS
from tests.integration.situations.refusals import REFUSALS
from tests.integration.situations.stage import Situation
from tests.integration.situations.values import VALUES

SITUATIONS: dict[str, list[Situation]] = {
    "private keys": KEYS,
    "connections": CONNECTIONS,
    "values": VALUES,
    "conditions": CONDITIONS,
    "refusals": REFUSALS,
}
