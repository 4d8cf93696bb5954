"""The example for Airflow: its DAGs, and that their commands are Pipeyard's. Airflow is too large to install for it."""

import runpy
import shlex
import sys
import types
from pathlib import Path

import pytest
from croniter import croniter
from support.shown_commands import understand

DAGS = Path(__file__).parents[3] / "triggers/airflow/pipeyard_dag.py"


@pytest.fixture
def made(monkeypatch):
    """Executes the file with as much of Airflow as records what is made; returns DAGs with their operators."""
    dags: dict[str, dict] = {}

    class Dag:
        def __init__(self, name, **options):
            self.options = dags[name] = {**options, "operators": []}

        def __enter__(self):
            Dag.now = self

        def __exit__(self, *_):
            Dag.now = None

    def operator(**options):
        Dag.now.options["operators"].append({**Dag.now.options["default_args"], **options})

    variable = types.SimpleNamespace(get=lambda name, default_var: default_var)
    parts = {
        "airflow": types.SimpleNamespace(DAG=Dag),
        "airflow.models": types.SimpleNamespace(Variable=variable),
        "airflow.operators": types.SimpleNamespace(),
        "airflow.operators.bash": types.SimpleNamespace(BashOperator=operator),
    }
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, name, part)
    runpy.run_path(str(DAGS))
    return dags


def test_its_dags_start_what_was_missed_never_and_one_run_at_a_time(made):
    assert set(made) == {"pipeyard_triggers", "pipeyard_chicago_taxi"}
    for dag in made.values():
        assert croniter.is_valid(dag["schedule"])
        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)


def test_its_commands_are_understood_and_a_retry_has_the_same_key(made):
    for dag in made.values():
        for operator in dag["operators"]:
            words = shlex.split(operator["bash_command"].replace("{{ ts_nodash | lower }}", "20260101t030000"))
            assert words.pop(0) == "pipeyard"
            understand(words)
    (run,) = made["pipeyard_chicago_taxi"]["operators"]
    assert run["retries"] > 0
    assert "--wait --key airflow-{{ ts_nodash | lower }}" in run["bash_command"]
