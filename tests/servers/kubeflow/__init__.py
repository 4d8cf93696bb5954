"""Kubeflow Pipelines' API v2beta1 on the loopback, with the real server's rules and, if wanted, its faults.

    http       the server: requests, credentials, faults
    faults     what goes wrong
    api        which request does what
    catalog    pipelines and their versions, and the rules for them
    store      experiments, runs, recurring runs, and the rules for them
    objects    what it makes in Kubernetes for runs and recurring runs
    database   whether what it records can be recorded
    listing    pages, filters, order
    packages   what is uploaded
    parameters what a run is given, against what its pipeline takes
    cron       schedules as robfig/cron v1, which Kubeflow Pipelines uses, reads them
    execution  runs by the local runner
    examples   small compiled pipelines

What it enforces is what kubeflow/pipelines' backend does (read in its source), in so far as a client can notice:
names and their lengths, the archive's first member, the schema version, parameters, one-second times, archived
experiments, namespaces of several users, schedules of up to 10 runs at a time that nothing updates, and the API's
messages, which are those of `kfp_server_api`.
"""

from .faults import Fault, made_then_500, made_then_silence
from .http import KubeflowServer
from .refusals import Refused

__all__ = ["Fault", "KubeflowServer", "Refused", "made_then_500", "made_then_silence"]
