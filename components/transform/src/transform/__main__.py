"""Runs the component: `python -m transform`."""

import sys

from transform.cli import main

sys.exit(main())
