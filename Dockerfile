# Airflow with this provider, from this tree. The first stage builds the wheel; nothing but the wheel leaves it.
FROM apache/airflow:3.3.2 AS wheel
COPY --chown=airflow:0 . /tmp/source
RUN pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /tmp/wheel /tmp/source

FROM apache/airflow:3.3.2
# Airflow's own version stands beside the wheel, so that pip leaves Airflow as the image has it. Its Celery executor cannot
# be imported with Celery 5.7.
RUN --mount=type=bind,from=wheel,source=/tmp/wheel,target=/tmp/wheel \
    pip install --quiet --no-cache-dir "apache-airflow==3.3.2" "celery<5.7" "$(echo /tmp/wheel/*.whl)[redis]"
# A new volume has owner and mode of the directory that it covers: any user of the group that Airflow's image uses may
# make a directory of its own in these.
RUN mkdir -m 770 /opt/airflow/okta /opt/airflow/okta-tokens
