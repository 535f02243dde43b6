"""What is done around the core's decisions, whoever asks for them.

``starting`` begins sagas, ``attempts`` opens and closes attempts, ``action`` calls an
agent, ``acting`` does what operators ask, ``attending`` looks after locks and child
sagas, ``watching`` finds what stands still. All of them speak to a log and a sender,
which ``ports`` describes: Postgres and Celery, or the memory of
``orchestration.testing``.
"""
