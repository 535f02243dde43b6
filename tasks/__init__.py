"""The Celery side: ``celery -A tasks worker|beat|flower``.

Read ``core/`` and you know what the system decides; read here and you know when.
``celery_app`` is the app, ``hosting`` what a worker does at its start and end,
``runtime`` what each process keeps open, ``saga`` the steps, ``recovery`` the sweep,
``chores`` what else beat has done for sagas, ``registry`` agents and their
heartbeats, ``routing`` messages that a worker routes, ``pipeline`` runs of pipelines,
``provenance`` the store's chores.
"""

from tasks.celery_app import app

__all__ = ["app"]
