"""The model that the candidate is compared with."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from evaluate import models
from stepkit import registry, uris
from stepkit.errors import StepError, UsageError


@dataclass(frozen=True)
class Baseline:
    """A model to compare with.

    Attributes:
        version: its version in the registry; 0 if it was given by URI.
        name: how reports call it, e.g. `champion version 3`.
        uri: where it is.
    """

    version: int
    name: str
    uri: str
    model: models.Model


@contextlib.contextmanager
def find(baseline_model_uri: str, registry_uri: str, model_name: str) -> Iterator[Baseline | None]:
    """Loads the baseline: the SavedModel at `baseline_model_uri`, else the registry's champion, else none.

    Raises:
        UsageError: there is a registry but no name to look up.
        StepError: the model can't be had or loaded; says which version and what to do.
    """
    if baseline_model_uri:
        remedy = "Give another --baseline-model-uri, or none."
        with uris.local_copy(baseline_model_uri, "baseline model") as path:
            what = f"The baseline model {baseline_model_uri!r}"
            yield Baseline(0, "the baseline", baseline_model_uri, models.load(path, what, remedy))
        return
    if not registry_uri:
        yield None
        return
    if not model_name:
        raise UsageError("--registry-uri needs --model-name, the name of the model in the registry")
    champion = registry.get_by_alias(registry_uri, model_name, registry.CHAMPION)
    if champion is None:
        yield None
        return
    what = f"Champion version {champion.version} of {model_name!r} ({champion.uri})"
    remedy = (
        f"Give the alias {registry.CHAMPION!r} to a version that works on this data, or remove it from version "
        f"{champion.version}; or name a model by --baseline-model-uri."
    )
    name = f"champion version {champion.version}"
    with contextlib.ExitStack() as copies:
        try:
            path = copies.enter_context(uris.local_copy(champion.uri, name))
        except StepError as error:
            raise StepError(f"{error} If it was removed on purpose: {remedy[0].lower()}{remedy[1:]}") from error
        yield Baseline(champion.version, name, champion.uri, models.load(path, what, remedy))
