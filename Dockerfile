# Airflow with this provider, from this tree. The first stage builds the wheel; only the wheel is copied out of it.
FROM apache/airflow:3.3.2 AS wheel
COPY --chown=airflow:0 . /tmp/source
RUN pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /tmp/wheel /tmp/source

FROM apache/airflow:3.3.2
# Airflow's own version is listed beside the wheel, so that pip does not change Airflow. Its Celery executor cannot be
# imported with Celery 5.7.
RUN --mount=type=bind,from=wheel,source=/tmp/wheel,target=/tmp/wheel \
    pip install --quiet --no-cache-dir "apache-airflow==3.3.2" "celery<5.7" "$(echo /tmp/wheel/*.whl)[redis]"
# A new volume gets the owner and mode of the directory that it covers. So any user in the group of Airflow's image may
# create a directory in these.
RUN mkdir -m 770 /opt/airflow/okta /opt/airflow/okta-tokens
