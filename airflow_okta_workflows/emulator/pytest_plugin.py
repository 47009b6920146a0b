"""A pytest fixture that provides tests of DAGs with a local org; installed with the package.

Every pytest run in an environment with the package loads this module, so the fixture imports the rest when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_okta_workflows.emulator import LocalOrg


@pytest.fixture
def okta_local_org(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOrg]:
    """Yield a running local org, and define the connection ``okta_workflows_default`` to it.

    The connection includes each flow as soon as it is registered::

        def test_onboarding(okta_local_org):
            @okta_local_org.flow("onboard")
            def onboard(request):
                return {"account": request.body["email"]}

            ...  # run the DAG, then look at okta_local_org.flows["onboard"].runs
    """
    from airflow_okta_workflows.emulator import LocalOrg

    class ConnectedOrg(LocalOrg):
        def on_flow_added(self) -> None:
            for name, value in self.environment().items():
                monkeypatch.setenv(name, value)

    with ConnectedOrg() as org:
        org.on_flow_added()
        yield org
