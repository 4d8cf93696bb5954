"""The model registry: MLflow, in an SQLite file unless `registry_uri` names a server.

A version of the registry is a model pushed to `<serving base>/<name>/<version>/`; both count alike. Aliases
(`champion`, `challenger`) say which version is which.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepkit.errors import StepError

CHAMPION = "champion"
CHALLENGER = "challenger"
DIGEST_TAG = "pipeyard.digest"
VERSION_TAG = "pipeyard.version"


@dataclass(frozen=True)
class ModelVersion:
    """A registered model.

    Attributes:
        version: its number under `<serving base>/<name>/`.
        uri: where the SavedModel is.
        digest: `stepkit.digest.of_tree` of the SavedModel.
        tags: lineage, e.g. the run that made it.
    """

    name: str
    version: int
    uri: str
    digest: str
    tags: Mapping[str, str] = field(default_factory=dict)
