"""Pipelines as pure values: a line of stages, compiled into the definition of a saga.

Read in this order: ``model`` (what a pipeline is), ``checks`` (what is refused),
``compiling`` (the saga that it becomes), ``execution`` (what the outside is told).
"""
