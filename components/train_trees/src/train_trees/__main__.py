import sys

from train_trees.cli import main

sys.exit(main())
