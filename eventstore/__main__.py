"""``python -m eventstore``."""

from eventstore.cli import main

main()
