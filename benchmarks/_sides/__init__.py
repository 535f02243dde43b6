"""Who runs five steps that do nothing: our sagas, and what others offer for it.

``side`` says what all have in common; each other module is one system, together with
what its workers import.
"""
