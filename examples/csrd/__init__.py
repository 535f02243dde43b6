"""A CSRD report as a saga: five steps that do real work and can be undone.

``celery -A tasks worker -I examples.csrd.agents`` hosts the agents;
:func:`examples.csrd.transaction.csrd_transaction` builds the saga.
"""
