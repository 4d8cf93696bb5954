"""Runs the component: `python -m batch_predict`."""

import sys

from batch_predict.cli import main

sys.exit(main())
