"""Importing TFDV without the page of warnings that its libraries print."""

import contextlib
import importlib
import io
import logging
import sys
import warnings


def import_tfdv() -> None:
    """Imports tensorflow_data_validation, silently.

    Raises:
        ImportError: after showing what the libraries printed.
    """
    warnings.simplefilter("ignore", FutureWarning)
    # Means over columns with infinities are NaN, as TFDV has it; numpy need not say so for every batch.
    warnings.simplefilter("ignore", RuntimeWarning)
    logging.getLogger().setLevel(logging.ERROR)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            importlib.import_module("tensorflow_data_validation")
    except ImportError:
        sys.stderr.write(printed.getvalue())
        raise
