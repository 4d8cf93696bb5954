"""Runs command lines one after the other: a JSON array of {"command": [...], "env": {...}}; stops at a failure."""

import json
import subprocess
import sys

for each in json.loads(sys.argv[1]):
    if code := subprocess.run(each["command"], env=each["env"], check=False).returncode:
        sys.exit(code)
