# One image for every process: migrate, worker, chores, beat and flower differ in
# their command only (docker-compose.yml). An app's own image starts FROM this one
# and adds its agents.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE beat_schedule.py ./
COPY orchestration ./orchestration
COPY tasks ./tasks
COPY eventstore ./eventstore
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir ".[examples]"

FROM python:3.13-slim-bookworm
# A volume at /data belongs to whom the folder belongs.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin app \
    && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY examples ./examples
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
CMD ["celery", "-A", "tasks", "worker"]
