"""``python -m examples.scope3``."""

import sys

from examples.scope3.run import main

if __name__ == "__main__":
    sys.exit(main())
