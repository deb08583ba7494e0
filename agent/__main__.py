"""`python -m agent` is the `agent` command."""

import sys

from agent.frontends.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
