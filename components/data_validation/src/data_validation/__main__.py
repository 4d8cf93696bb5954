"""`python -m data_validation`."""

import sys

from data_validation.cli import main

if __name__ == "__main__":
    sys.exit(main())
