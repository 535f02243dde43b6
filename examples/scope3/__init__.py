"""Scope 3 emissions of 100,000 suppliers, shared out among the agents of a swarm.

``python -m examples.scope3`` runs it whole; ``celery -A tasks worker -I
examples.scope3.agents`` hosts the data source and the handler.
"""
