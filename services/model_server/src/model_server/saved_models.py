"""A SavedModel, loaded to answer requests (see `stepkit.loaded_models`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_server.columns import Reader
from model_server.refusals import NO_ANSWER, Refused
from stepkit import loaded_models
from stepkit.answers import Answers, NoAnswerError
from stepkit.model_description import ModelDescription


@dataclass(frozen=True)
class LoadedModel:
    """A model that answers.

    Attributes:
        description: what it says of itself; the default where it says nothing.
        reader: of its raw columns.
        answers: how its numbers become answers.
    """

    description: ModelDescription
    reader: Reader
    answers: Answers
    _model: loaded_models.LoadedModel

    def ask(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the model's numbers, [rows, width]. May be called from several threads at once.

        Args:
            tensors: one a column, in the reader's order.

        Raises:
            Refused: the graph refuses the values.
            tensorflow.errors.OpError: it fails.
        """
        try:
            return self._model.ask(tensors)
        except NoAnswerError as error:
            raise Refused(NO_ANSWER, str(error)) from error


def load(folder: Path) -> LoadedModel:
    """Loads a version.

    Raises:
        StepError: it is no SavedModel of train's kind, or doesn't answer as it says of itself.
    """
    model = loaded_models.load(folder)
    return LoadedModel(model.description, Reader(model.columns), model.answers, model)
