"""Measurements; ``make bench`` runs them all. Each module has ``run(server_url)``."""
