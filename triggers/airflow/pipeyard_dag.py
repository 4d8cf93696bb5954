"""An Airflow (Cloud Composer) DAG: asks the triggers of an environment, and runs a pipeline on a schedule.

A worker needs `pipeyard` and a checkout of the repository: the one that this file is in, or that the variable
`pipeyard_checkout` names. The key makes a retried task find the run that it started,
so that Airflow's retries start no second one.
"""

# pylint: disable=no-name-in-module  # it takes this folder for the library
from datetime import datetime, timedelta
from pathlib import Path

from airflow import DAG
from airflow.models import Variable
from airflow.operators.bash import BashOperator

ENVIRONMENT = Variable.get("pipeyard_environment", default_var="staging")
CHECKOUT = Variable.get("pipeyard_checkout", default_var=str(Path(__file__).parents[2]))
RETRIES = {"retries": 3, "retry_delay": timedelta(minutes=5), "retry_exponential_backoff": True}

with DAG(
    "pipeyard_triggers",
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=RETRIES,
    doc_md=__doc__,
):
    BashOperator(task_id="tick", cwd=CHECKOUT, bash_command=f"pipeyard trigger --env {ENVIRONMENT} tick")

with DAG(
    "pipeyard_chicago_taxi",
    schedule="0 3 * * 1",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=RETRIES,
    doc_md=__doc__,
):
    BashOperator(
        task_id="run",
        cwd=CHECKOUT,
        bash_command=f"pipeyard run chicago_taxi --env {ENVIRONMENT} --wait --key airflow-{{{{ ts_nodash | lower }}}}",
        execution_timeout=timedelta(hours=4),
    )
