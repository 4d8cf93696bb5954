"""Which steps of a run failed: the server's details have the workflow's nodes, the compiled pipeline has the steps.

The details are as a server of 2.17.0 has them: no pod's name, no error, no parent; children by node id, in order of
execution; the workflow's own nodes among them; no state of what was left out; FAILED all the way up.
"""

from types import SimpleNamespace

import pytest
from servers.kubeflow import KubeflowServer, examples
from support.kubeflow_connections import connect

from pipeyard.servers.kubeflow import experiments, failed_steps, pipelines, runs

HOST = "https://kubeflow.example.com"


def task(component):
    return {"componentRef": {"name": component}}


SPEC = {
    "root": {"dag": {"tasks": {"exit-handler-1": task("comp-exit"), "summarize": task("comp-leaf")}}},
    "components": {
        "comp-leaf": {"executorLabel": "exec"},
        "comp-exit": {
            "dag": {
                "tasks": {
                    "extract": task("comp-leaf"),
                    "condition-2": task("comp-condition"),
                    "for-loop-3": task("comp-loop"),
                    "inner": task("comp-inner"),
                }
            }
        },
        "comp-condition": {"dag": {"tasks": {"push": task("comp-leaf")}}},
        "comp-loop": {"dag": {"tasks": {"check": task("comp-leaf")}}},
        "comp-inner": {"dag": {"tasks": {"extract": task("comp-leaf"), "train": task("comp-leaf")}}},
    },
}
KNOWN = failed_steps.tasks(SPEC)
# What is around everything, and FAILED with it.
UP = {"taxi-x7k2p": "FAILED", "root": "FAILED", "root-driver": "SUCCEEDED", "driver": "SUCCEEDED"}


def run(*nodes, root="gs://bucket/root", key="7"):
    """A run with a node for each pair of name and state."""
    details = [
        SimpleNamespace(
            task_id=f"id-{number}",
            display_name=name,
            state=state,
            child_tasks=[SimpleNamespace(pod_name=f"taxi-x7k2p-{number}", task_id=None)],
        )
        for number, (name, state) in enumerate(nodes)
    ]
    return SimpleNamespace(
        run_id=key,
        run_details=SimpleNamespace(task_details=details),
        runtime_config=SimpleNamespace(pipeline_root=root),
    )


def failed(*nodes, known=KNOWN):
    return [each.name for each in failed_steps.failed(run(*UP.items(), *nodes), known, HOST)]


def test_tasks_have_paths():
    assert [each.path for each in KNOWN if not each.group] == [
        "exit-handler-1/extract",
        "exit-handler-1/condition-2/push",
        "exit-handler-1/for-loop-3/check",
        "exit-handler-1/inner/extract",
        "exit-handler-1/inner/train",
        "summarize",
    ]
    assert [each.path for each in KNOWN if each.group][:2] == ["exit-handler-1", "exit-handler-1/condition-2"]


def test_a_step_that_failed_is_named_once():
    assert failed(
        ("exit-handler-1", "FAILED"),
        ("exit-handler-1-driver", "SUCCEEDED"),
        ("condition-2", "FAILED"),
        ("condition-2-driver", "SUCCEEDED"),
        ("push-driver", "SUCCEEDED"),
        ("push", "FAILED"),
        ("executor", "FAILED"),
        ("extract", "SUCCEEDED"),
        ("executor", "SUCCEEDED"),
        ("exit-handler-1.onExit", "SUCCEEDED"),
        ("summarize", "SUCCEEDED"),
        ("train", None),
    ) == ["exit-handler-1/condition-2/push"]


def test_items_of_a_loop_and_attempts_are_one_step():
    assert failed(
        ("exit-handler-1", "FAILED"),
        ("for-loop-3", "FAILED"),
        ("iteration-driver", "SUCCEEDED"),
        ("iteration-iterations(0:0)", "SUCCEEDED"),
        ("iteration-iterations(1:1)", "FAILED"),
        ("iteration-item", "FAILED"),
        ("check", "SUCCEEDED"),
        ("check", "FAILED"),
        ("executor(0)", "FAILED"),
        ("executor(1)", "FAILED"),
        ("check", "FAILED"),
    ) == ["exit-handler-1/for-loop-3/check"]


def test_of_a_name_that_is_in_two_groups_it_is_the_one_in_the_group_that_failed():
    around = [("exit-handler-1", "FAILED"), ("extract", "SUCCEEDED"), ("extract", "FAILED")]
    assert failed(*around) == ["exit-handler-1/extract"]
    assert "exit-handler-1/inner/extract" in failed(*around, ("inner", "FAILED"))


def test_a_driver_that_failed_is_its_step_or_its_group():
    assert failed(("exit-handler-1", "FAILED"), ("extract-driver", "FAILED")) == ["exit-handler-1/extract"]
    assert failed(("exit-handler-1", "FAILED"), ("condition-2-driver", "FAILED")) == ["exit-handler-1/condition-2"]
    assert failed(("root-driver", "FAILED")) == []


def test_several_steps_and_the_exit_task_are_all_named():
    assert failed(
        ("exit-handler-1", "FAILED"),
        ("extract", "FAILED"),
        ("for-loop-3", "FAILED"),
        ("check", "FAILED"),
        ("exit-handler-1.onExit", "FAILED"),
        ("summarize", "FAILED"),
    ) == ["exit-handler-1/extract", "exit-handler-1/for-loop-3/check", "summarize"]


def test_without_the_pipeline_the_workflow_s_own_nodes_are_left_out():
    nodes = [("exit-handler-1", "FAILED"), ("condition-2", "FAILED"), ("push", "FAILED"), ("executor", "FAILED")]
    own = {"taxi-x7k2p"}  # its name can't be told from a step's
    assert set(failed(*nodes, ("exit-handler-1.onExit", "FAILED"), known=None)) - own == {"push"}


@pytest.mark.parametrize(
    ("root", "where"), [("gs://bucket/root/", "gs://bucket/root"), ("", "minio://mlpipeline/v2/artifacts")]
)
def test_where_the_log_is_is_told(root, where):
    [step] = failed_steps.failed(run(("summarize", "FAILED"), root=root), KNOWN, HOST, "team")
    assert step.log_url == f"{HOST}/k8s/pod/logs?podname=taxi-x7k2p-0&runid=7&podnamespace=team"
    [driver] = failed_steps.failed(run(("summarize-driver", "FAILED")), KNOWN, HOST)
    assert driver.log_url == f"{HOST}/#/runs/details/7"
    assert f"executor-logs, below {where} in the folder 7" in step.look
    assert "kubectl logs -n team -l pipeline/runid=7 -c main" in step.look
    assert "-n kubeflow" in failed_steps.failed(run(("summarize", "FAILED")), KNOWN, HOST)[0].look


def test_progress_is_of_the_pipeline_s_steps_alone():
    told = failed_steps.progress(
        run(*UP.items(), ("exit-handler-1", "RUNNING"), ("extract-driver", "SUCCEEDED"), ("extract", "RUNNING")), KNOWN
    )
    assert list(told.values()) == ["extract: RUNNING"]
    items = failed_steps.progress(run(("check", "SUCCEEDED"), ("check", "RUNNING"), ("push", None)), KNOWN)
    assert sorted(items.values()) == ["check: RUNNING", "check: SUCCEEDED"]
    assert not failed_steps.progress(SimpleNamespace(run_details=None), KNOWN)


def test_a_run_that_is_waited_for_tells_its_steps_by_the_version_that_it_runs(tmp_path):
    with KubeflowServer(states=["RUNNING"]) as server:
        connection = connect(server)
        version = pipelines.ensure_version(connection, examples.package(tmp_path, "a" * 40, examples.pipeline()))
        experiment = experiments.ensure(connection, "taxi")
        for caching in (None, False):  # by reference, and with a specification of its own
            key = runs.start(connection, experiment, version, f"run {caching}", {}, "gs://bucket/root", caching)
            nodes = {**UP, "say-driver": "SUCCEEDED", "say": "FAILED", "executor": "FAILED"}
            details = [
                {"run_id": key, "task_id": f"{number}", "display_name": name, "state": state}
                for number, (name, state) in enumerate(nodes.items())
            ]
            server.set_state(key, "RUNNING", tasks=details)
            server.set_state(key, "FAILED")
            told = []
            outcome = runs.wait(connection, key, timeout=10, interval=0.01, tell=told.append)
            assert [each.name for each in outcome.failed] == ["say"]
            assert told == ["say: FAILED", "FAILED"]
        server.store.versions.clear()
        key = next(iter(server.store.runs))
        assert "say" in [each.name for each in runs.wait(connection, key, timeout=10, interval=0.01).failed]
