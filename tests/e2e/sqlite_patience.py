"""How long each part of an Airflow waits until another one has written to its SQLite database."""

import sys

# The API server locks itself out: what it writes on its event loop waits for what its threads have written, and the
# commit of those waits for the event loop. So it had better give up soon; the scheduler had better not, since it ends.
CONNECT_ARGS = {"timeout": 2 if "api-server" in sys.argv else 60}
