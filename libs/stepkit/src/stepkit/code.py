"""What code a result comes from."""

import hashlib
import importlib.util
from importlib import metadata
from pathlib import Path

from stepkit import digest


def fingerprint(*packages: str) -> str:
    """Returns a digest of the sources of packages and of the versions of all that is installed.

    What is kept for runs to come has it in its key: what other code made is made again. An image has no lock; what is
    installed is what the lock says.

    Args:
        packages: names to import, without their submodules.
    """
    total = hashlib.sha256()
    for package in sorted(packages):
        spec = importlib.util.find_spec(package)
        assert spec and spec.submodule_search_locations, package
        (folder,) = map(Path, spec.submodule_search_locations)
        total.update(f"{package}\0{digest.of_files(folder, folder.rglob('*.py'))}\n".encode())
    installed = {(found.metadata["Name"].lower(), found.version) for found in metadata.distributions()}
    for name, version in sorted(installed):
        total.update(f"{name}=={version}\n".encode())
    return total.hexdigest()
