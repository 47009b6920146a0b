"""Time for which each component of an Airflow waits for a lock of its SQLite database."""

import sys

# The API server locks itself out: a write on its event loop waits for a transaction of one of its threads, whose commit
# waits for the event loop. So it should give up soon. The scheduler should not, because a failed write ends it.
CONNECT_ARGS = {"timeout": 2 if "api-server" in sys.argv else 60}
