"""The intermediate representation's protobuf, without kfp's SDK.

Its module stands inside the SDK's package, whose import brings clients of Kubernetes and Cloud Storage: half a second,
and 40 MB for as long as a run takes.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["pb"]

_NAME = "kfp.pipeline_spec.pipeline_spec_pb2"


def _load() -> ModuleType:
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = importlib.util.find_spec("kfp")  # imports nothing
    assert package and package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location(_NAME, folder / "pipeline_spec" / "pipeline_spec_pb2.py")
    assert spec and spec.loader
    # Under its own name: if kfp is imported later it finds this one, and messages aren't defined twice.
    sys.modules[_NAME] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb
else:
    pb = _load()
