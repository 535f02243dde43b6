"""Sagas as pure values: definition, plan, fold, decisions.

Read in this order: ``model`` (what a saga is), ``checks`` (what is refused),
``plan`` (what may start when), ``events`` and ``fold`` (how the past becomes a
state), ``compensation`` (what to undo in which order), ``decide`` (what happens
next), ``execution`` (what the outside is told).
"""
