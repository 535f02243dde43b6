"""Which agent gets a message; decided here.

Read in this order: ``model`` (what a rule is), ``checks`` (what is refused), ``table``
and ``rules`` (under which rule a message falls), ``ports`` (what the router asks of
others), ``loads`` (how loaded agents are), ``candidates`` (who may be picked),
``strategies`` and ``ring`` (who is), ``router`` (all of it, one after the other),
``decision`` (what came out, and why), ``record`` (how it is decided again).
"""
