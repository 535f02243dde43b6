"""Sagas, registry, routing and swarms for many cooperating agents, run by Celery."""
