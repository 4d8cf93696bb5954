"""Kubeflow Pipelines' API v2beta1 on the loopback, with the real server's rules and, if wanted, its faults.

    http        the server: what it is made of, and who is let in
    handling    how requests come in and answers go out
    faults      what goes wrong
    api         which request does what
    messages    requests' JSON, as protobuf reads it
    refusals    answers other than 200
    catalog     pipelines and their versions
    uploads     the endpoints that take files
    packages    what is uploaded
    experiments
    runs
    store       recurring runs, and what concerns all kinds
    parameters  what a run is given, against what its pipeline takes
    dag         what can't be compiled
    cron        schedules as robfig/cron v1, which Kubeflow Pipelines uses, reads them
    listing     pages and order
    filters
    collation   how the database compares and keeps text
    database    whether what is to be recorded can be
    objects     what it makes in Kubernetes for runs and recurring runs
    execution   runs by the local runner
    nodes       what is told of a run's steps
    statuses    the final status that an exit handler gets
    examples    small compiled pipelines
    recorded/   303 requests with the answers of a real server

The rules are those of the API server of Kubeflow Pipelines 2.17.0. Recorded are the answers in `recorded/`, which
`tests/unit/test_kubeflow_recording.py` holds the server to: status, content type, fields and their kinds, gRPC codes.
What holds beside the recorded cases was read in kubeflow/pipelines' source; each module says where. What can't be
recorded (nodes of a run, archived and deleted experiments that go on, CANCELING then FAILED, ML Metadata's states) was
seen of a real server, or its driver and launcher, on the same day. Kubernetes' side (`objects`) was only read.
Namespaces of several users (`several_users`) were neither recorded nor seen.
"""

from .faults import Fault, made_then_500, made_then_silence
from .http import KubeflowServer
from .refusals import Refused

__all__ = ["Fault", "KubeflowServer", "Refused", "made_then_500", "made_then_silence"]
