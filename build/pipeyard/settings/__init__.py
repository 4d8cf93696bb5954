"""`settings.yaml`: where each environment runs its pipelines, with which parameters, when, and who has to approve.

`load` reads it strictly: what doesn't fit is named with file, line and what to do. `provenance` tells of each value
where it stands; `fit` compares parameters with a compiled pipeline's inputs; `schema` makes the JSON Schema by
which editors help.
"""

from pipeyard.settings.model import (
    Auth,
    CompletionTrigger,
    DriftTrigger,
    Environment,
    EventTrigger,
    Kubernetes,
    PipelineSettings,
    QualityTrigger,
    Schedule,
    Trigger,
)
from pipeyard.settings.origins import SettingValue, provenance
from pipeyard.settings.problems import FILE
from pipeyard.settings.settings_file import Settings, load

__all__ = [
    "FILE",
    "Auth",
    "CompletionTrigger",
    "DriftTrigger",
    "Environment",
    "EventTrigger",
    "Kubernetes",
    "PipelineSettings",
    "QualityTrigger",
    "Schedule",
    "SettingValue",
    "Settings",
    "Trigger",
    "load",
    "provenance",
]
