"""whylogs' profile of a CSV file, written to a file. Runs in the environment of peers/whylogs."""

import sys

import pandas as pd
import whylogs as why

why.log(pandas=pd.read_csv(sys.argv[1], low_memory=False)).profile().view().write(sys.argv[2])
