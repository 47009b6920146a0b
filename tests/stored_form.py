"""What the connection form of this Python's Airflow stores in extra: ``python -m tests.stored_form``.

It reads a list of JSON objects from stdin, each with the strings typed into the form's extra fields, and prints a list
of what the form stores for each. Airflow 2 decides that in its web server, whose code is called here. Airflow 3 decides
it in the browser: an untouched field is stored with the default that the server sends, and a string as it was typed.
tests/ui checks that in a real browser.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.own_airflow import own_environment

CONN_TYPE = "okta_workflows"


def stored_in_a_process(typed: Sequence[dict[str, str]], home: Path) -> list[dict[str, Any]]:
    """Return the extra that the form stores, from another process, because Airflow replaces modules to read the fields.

    :param typed: for each connection, the argument of :func:`stored`
    :param home: an empty folder
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.stored_form"],
        input=json.dumps(typed),
        cwd=Path(__file__).parents[1],
        env=own_environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def stored(typed: dict[str, str]) -> dict[str, Any]:
    """Return the extra that the form stores.

    :param typed: the typed strings, by field name
    """
    try:
        service = import_module("airflow.api_fastapi.core_api.services.ui.connections").HookMetaService
    except ImportError:
        return _stored_by_airflow_2(typed)
    (found,) = [hook for hook in service.hook_meta_data() if hook.connection_type == CONN_TYPE]
    extra = {name: field["value"] for name, field in (found.extra_fields or {}).items()}
    for name, text in typed.items():
        # Objects have a JSON editor, but in Airflow 3.0 and 3.1 a text field.
        extra[name] = json.loads(text) if "object" in found.extra_fields[name]["schema"]["type"] else text
    return extra


def _stored_by_airflow_2(typed: dict[str, str]) -> dict[str, Any]:
    from airflow.providers_manager import ProvidersManager
    from werkzeug.datastructures import MultiDict
    from wtforms import Form, StringField

    manager: Any = ProvidersManager()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
    # Airflow's page removes the fields of other connection types.
    prefix = f"extra__{CONN_TYPE}__"
    widgets = {key: widget for key, widget in manager.connection_form_widgets.items() if key.startswith(prefix)}
    names = ["conn_id", "conn_type", "extra"]
    form_class = type(
        "ConnectionForm",
        (Form,),
        {**{name: StringField() for name in names}, **{key: widget.field for key, widget in widgets.items()}},
    )
    # A browser sends an empty string for an empty text field, and nothing for a box that is not checked.
    sent = {key: "" for key, widget in widgets.items() if widget.field.field_class.__name__ != "BooleanField"}
    sent |= {prefix + name: text for name, text in typed.items()}
    form: Any = form_class(MultiDict({**sent, "conn_id": "okta", "conn_type": CONN_TYPE, "extra": ""}))
    if not form.validate():
        raise ValueError(f"the form is not saved: {form.errors}")
    view = import_module("airflow.www.views").ConnectionModelView
    view.process_form(view.__new__(view), form, is_created=True)
    extra: dict[str, Any] = json.loads(form.extra.data)
    return extra


if __name__ == "__main__":
    # On a new line, because Airflow may log to stdout first.
    print("\n" + json.dumps([stored(typed) for typed in json.load(sys.stdin)]))
