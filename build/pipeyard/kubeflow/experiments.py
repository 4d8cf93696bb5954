"""Experiments: what a server groups runs by."""

from http import HTTPStatus
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import pages
from pipeyard.kubeflow.connection import Server

# Characters that the server's database takes.
LONGEST = 128
_ATTEMPTS = 3


def find(server: Server, name: str) -> str | None:
    """Returns the id of an experiment; None if there is none of the name.

    Raises:
        PipeyardError: it is archived, so that runs can't be in it, or the server fails.
    """
    listed = pages.all_of(
        server,
        f"looking for the experiment {name!r}",
        server.experiments.experiment_service_list_experiments,
        "experiments",
        filter=pages.named(name),
        **server.where,
    )
    for each in listed:
        if each.display_name == name:
            if each.storage_state == "ARCHIVED":
                raise PipeyardError(
                    f"The experiment {name!r} is archived at {server.host}: no run can start in it. "
                    "Restore it there (Experiments, Archived, Restore), or set another `experiment:` in settings.yaml."
                )
            return each.experiment_id
    return None


def ensure(server: Server, name: str) -> str:
    """Returns the id of the experiment, which is made if there is none. Several may do this at a time.

    Raises:
        PipeyardError: it is archived, its name is too long, or the server fails.
    """
    import kfp_server_api

    if not 0 < len(name) <= LONGEST:
        raise PipeyardError(f"The experiment's name has {len(name)} characters; use 1 to {LONGEST}.")
    for _ in range(_ATTEMPTS):
        if found := find(server, name):
            return found
        made: Any = server.ask(
            f"making the experiment {name!r}",
            server.experiments.experiment_service_create_experiment,
            kfp_server_api.V2beta1Experiment(display_name=name, description="Made by pipeyard.", **server.where),
            none_for=HTTPStatus.CONFLICT,  # another was quicker
        )
        if made is not None:
            return made.experiment_id
    raise PipeyardError(
        f"{server.host} says that there is an experiment {name!r}, but doesn't list it. Look at the server."
    )
