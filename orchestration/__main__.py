"""``python -m orchestration`` is the command ``orchestration``."""

from orchestration.cli import main

if __name__ == "__main__":
    main(prog_name="orchestration")
