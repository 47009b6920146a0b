#!/usr/bin/env bash
# Prepares what the other services need: the database, the admin user, the connection. It runs at each start of the
# stack, and updates all three from .env.
set -euo pipefail

airflow db migrate

# A password goes in through stdin, so that no process list shows it; Airflow asks for it twice.
twice() { printf '%s\n%s\n' "$1" "$1"; }
twice "$ADMIN_PASSWORD" | airflow users create --role Admin --username "$ADMIN_USER" --email "$ADMIN_USER@localhost" \
  --firstname "$ADMIN_USER" --lastname Admin
twice "$ADMIN_PASSWORD" | airflow users reset-password --username "$ADMIN_USER"

# The table that the example okta_offboarding reads.
python - <<'PYTHON'
import os
import psycopg2

with psycopg2.connect(os.environ["AIRFLOW_CONN_HR_DATABASE"]) as connection, connection.cursor() as cursor:
    with open("/opt/airflow/okta_offboarding.sql", encoding="utf-8") as table:
        cursor.execute(table.read())
PYTHON

if [ -z "${OKTA_DOMAIN:-}" ]; then
  airflow connections import --overwrite /opt/airflow/okta/connections.json
  exit
fi

arguments=(--domain "$OKTA_DOMAIN" --client-id "$OKTA_CLIENT_ID" --key-file /run/secrets/okta_key --keep-key-file)
[ -z "${OKTA_KEY_ID:-}" ] || arguments+=("--key-id=$OKTA_KEY_ID")
[ -z "${OKTA_WORKFLOWS_HOST:-}" ] || arguments+=(--workflows-host "$OKTA_WORKFLOWS_HOST")
[ -z "${OKTA_CA_FILE:-}" ] || arguments+=(--ca-file /run/secrets/okta_ca)
for flow in ${OKTA_FLOWS:-}; do arguments+=(--flow "$flow"); done
# It asks the org for a token first, and says what to change if there is none.
printf '%s\n' "${OKTA_KEY_PASSPHRASE:-}" | okta-workflows connection "${arguments[@]}" --add --replace
