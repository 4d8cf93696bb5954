"""What Kubeflow Pipelines 2.17.0 does around a step: its driver, its launcher and ML Metadata, on this machine.

Seen with the real ones around this repository's pipelines on 2026-11-29; what each does is said where it is done. A pod
is a folder that stands for `/`, so `/minio/<bucket>/...` and `/tmp/kfp/outputs/<name>` are below that. The object store
is a folder in any filesystem that fsspec knows.
"""

from .driver import Pod, Task
from .launcher import Launch, launch
from .process import LauncherProcess
from .records import Artifact, Execution, Records, final_status
from .storage import Store, local_path
from .walk import Run, Walk

__all__ = [
    "Artifact",
    "Execution",
    "Launch",
    "LauncherProcess",
    "Pod",
    "Records",
    "Run",
    "Store",
    "Task",
    "Walk",
    "final_status",
    "launch",
    "local_path",
]
