"""Experiments: what a server groups runs by."""

from http import HTTPStatus
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import names, pages
from pipeyard.servers.kubeflow.connection import Server

_ATTEMPTS = 3


def find(server: Server, name: str) -> str | None:
    """Returns the id of an experiment; None if absent of the name.

    Raises:
        PipeyardError: it is archived, so that nobody would see what runs in it, there is one whose name differs by case
            only, or the server fails.
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
        if each.display_name != name:  # the filter is the database's, to which it is the same
            raise PipeyardError(
                f"{server.host} has an experiment {each.display_name!r}, which is the same name as {name!r} to it: "
                "case, accents and trailing spaces don't count there. Write it so in `experiment:` in settings.yaml, "
                "or choose another."
            )
        if each.storage_state == "ARCHIVED":
            raise PipeyardError(
                f"The experiment {name!r} is archived at {server.host}: runs would go on in it that nobody is shown. "
                "Restore it there (Experiments, Archived, Restore), or set another `experiment:` in settings.yaml."
            )
        return each.experiment_id
    return None


def active(server: Server) -> set[str]:
    """Returns the ids of all experiments that aren't archived.

    Raises:
        ServerError: the server fails.
    """
    listed = pages.all_of(
        server,
        "listing experiments",
        server.experiments.experiment_service_list_experiments,
        "experiments",
        **server.where,
    )
    return {each.experiment_id for each in listed if each.storage_state != "ARCHIVED"}


def ensure(server: Server, name: str) -> str:
    """Returns the id of the experiment, which is made if there is none. Several may do this at a time.

    Raises:
        PipeyardError: it is archived, the server doesn't take its name, or the server fails.
    """
    import kfp_server_api

    names.check("experiment", name)
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
