"""A SavedModel, loaded to be asked by its signature of raw columns with little overhead.

It runs in a session, as in TF Serving, and not by `tf.saved_model.load`: a call of few rows takes half of the time, and
nothing is restored that only Python needs. The model server and batch_predict load models by this alone, so that both
answer alike. Needs TensorFlow, which a component brings, and the extra `schema`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np  # pylint: disable=import-error

from stepkit import answers as answering
from stepkit import model_description, saved_models, served, served_graphs
from stepkit.answers import Answers, NoAnswerError
from stepkit.errors import StepError, near_misses, tensorflow_cause
from stepkit.model_description import ModelDescription
from stepkit.raw_columns import Column
from stepkit.served import EXAMPLES_SIGNATURE, RAW_SIGNATURE

# Of the SavedModel format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/cc/saved_model/constants.h
_INIT = "__saved_model_init_op"
_VARIABLES = "variables/variables"

_REMEDY = "Give a version that deploy has pushed."
# Rows that are asked for before the first request, so that none waits for what TensorFlow does once.
_WARM_UP_ROWS = (1, 2, 1, 32, 1)


@dataclass(frozen=True)
class LoadedModel:
    """A model that answers.

    Attributes:
        description: what it says of itself; the default where it says nothing.
        columns: what it takes, in the order of its tensors.
        answers: how its numbers become answers.
    """

    description: ModelDescription
    columns: tuple[Column, ...]
    answers: Answers
    _call: Any

    def ask(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the model's numbers, [rows, width]. May be called from several threads at once.

        Args:
            tensors: one a column, in their order.

        Raises:
            NoAnswerError: the graph refuses the values.
            tensorflow.errors.OpError: it fails.
        """
        import tensorflow as tf  # pylint: disable=import-outside-toplevel,import-error

        try:
            (values,) = self._call(*tensors)
        except tf.errors.InvalidArgumentError as error:
            raise NoAnswerError(f"The model can't answer these values: {tensorflow_cause(error)}.") from error
        found: np.ndarray = values if values.ndim == 2 else values.reshape(len(tensors[0]), -1)
        return found


def load(folder: Path) -> LoadedModel:
    """Loads a version.

    Raises:
        StepError: it is no SavedModel of train's kind, or doesn't answer as it says of itself.
    """
    if not (folder / served.SAVED_MODEL).is_file():
        raise StepError(f"{str(folder)!r} isn't a SavedModel: it has no {served.SAVED_MODEL}. {_REMEDY}")
    described = model_description.read(folder)
    session, meta_graph = _session(folder)
    if RAW_SIGNATURE not in meta_graph.signature_def:
        raise StepError(
            f"The model has no signature {RAW_SIGNATURE!r}. {near_misses(RAW_SIGNATURE, meta_graph.signature_def)} "
            f"{_REMEDY}"
        )
    signature = meta_graph.signature_def[RAW_SIGNATURE]
    description = described or ModelDescription(label="")
    required = served_graphs.required_features(meta_graph, EXAMPLES_SIGNATURE) or frozenset()
    columns = tuple(_columns(signature.inputs, description, required))
    answers = _answers(signature.outputs, description, described is not None, answering.threshold(folder))
    feeds = [signature.inputs[column.argument].name for column in columns]
    fetch = signature.outputs[answers.output].name
    loaded = LoadedModel(description, columns, answers, _callable(session, feeds, fetch))
    _warm_up(loaded)
    return loaded


def _session(folder: Path) -> tuple[Any, Any]:
    """Returns a session with the model in it, and its `MetaGraphDef`, in which only what is served is left."""
    import tensorflow as tf  # pylint: disable=import-outside-toplevel,import-error
    from google.protobuf.message import DecodeError  # pylint: disable=import-outside-toplevel,import-error
    from tensorflow.core.protobuf import (  # pylint: disable=import-outside-toplevel,import-error,no-name-in-module
        saved_model_pb2,
    )

    try:
        found = saved_model_pb2.SavedModel.FromString((folder / served.SAVED_MODEL).read_bytes())
    except DecodeError as error:
        raise StepError(f"The model {str(folder)!r} can't be loaded: it is damaged. {_REMEDY}") from error
    meta_graph = next((each for each in found.meta_graphs if tf.saved_model.SERVING in each.meta_info_def.tags), None)
    if meta_graph is None:
        raise StepError(f"The model {str(folder)!r} has no graph to serve. {_REMEDY}")
    copies = saved_models.unrestored_variables(meta_graph)
    served_graphs.keep(meta_graph, (RAW_SIGNATURE, EXAMPLES_SIGNATURE, _INIT), copies)
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(meta_graph.graph_def, name="")
            assignments = [_assignment(graph, *names) for names in copies.items()]
        session = tf.compat.v1.Session(graph=graph)
        saver = meta_graph.saver_def
        if saver.restore_op_name:
            session.run(saver.restore_op_name, {saver.filename_tensor_name: str(folder / _VARIABLES)})
        session.run(assignments)
        if _INIT in meta_graph.signature_def:
            assets = {
                each.tensor_info.name: str(folder / "assets" / each.filename) for each in meta_graph.asset_file_def
            }
            session.run(graph.get_operation_by_name(meta_graph.signature_def[_INIT].outputs[_INIT].name), assets)
    except (tf.errors.OpError, ValueError, KeyError) as error:
        raise StepError(f"The model {str(folder)!r} can't be loaded ({tensorflow_cause(error)}). {_REMEDY}") from error
    return session, meta_graph


def _assignment(graph: Any, variable: str, copy: str) -> Any:
    import tensorflow as tf  # pylint: disable=import-outside-toplevel,import-error

    target, source = (graph.get_tensor_by_name(f"{name}:0") for name in (variable, copy))
    dtype = tf.dtypes.as_dtype(source.op.get_attr("dtype"))
    return tf.raw_ops.AssignVariableOp(resource=target, value=tf.raw_ops.ReadVariableOp(resource=source, dtype=dtype))


def _callable(session: Any, feeds: Sequence[str], fetch: str) -> Any:
    from tensorflow.core.protobuf import (  # pylint: disable=import-outside-toplevel,import-error,no-name-in-module
        config_pb2,
    )

    options = config_pb2.CallableOptions(feed=feeds, fetch=[fetch])
    # All operations in the caller's thread: handing them to others takes as long again for one row, and is no quicker
    # for 256. Large ones still use several cores by themselves.
    options.run_options.inter_op_thread_pool = -1
    # `Session.make_callable` without what it does in Python at each call.
    return session._make_callable_from_options(options)  # pylint: disable=protected-access


def _columns(inputs: Any, description: ModelDescription, required: frozenset[str]) -> list[Column]:
    names = {argument: name for name, argument in description.arguments.items()}
    unknown = names.keys() - inputs.keys()
    if unknown:
        raise StepError(
            f"The model's description has the argument {sorted(unknown)[0]!r}, which {RAW_SIGNATURE!r} hasn't. "
            f"{near_misses(sorted(unknown)[0], inputs)} {_REMEDY}"
        )
    return [_column(names.get(argument, argument), argument, inputs[argument], required) for argument in sorted(inputs)]


def _column(name: str, argument: str, info: Any, required: frozenset[str]) -> Column:
    import tensorflow as tf  # pylint: disable=import-outside-toplevel,import-error

    dtype = tf.dtypes.as_dtype(info.dtype)
    if not (dtype == tf.string or dtype.is_integer or dtype in (tf.float32, tf.float64)):
        raise StepError(f"The raw column {name!r} is {dtype.name} in {RAW_SIGNATURE!r}, which no column is. {_REMEDY}")
    sizes = tuple(size.size if size.size >= 0 else None for size in info.tensor_shape.dim)[1:]
    if sizes.count(None) > 1 or (None in sizes and len(sizes) > 1):
        raise StepError(f"The raw column {name!r} has rows of shape {sizes}: only one size may be open. {_REMEDY}")
    numpy_type = np.dtype(object) if dtype == tf.string else np.dtype(dtype.as_numpy_dtype)
    return Column(name, argument, numpy_type, sizes or (1,), name in required)


def _answers(outputs: Any, description: ModelDescription, is_described: bool, threshold: float) -> Answers:
    if is_described:
        output = description.answer
        if output not in outputs:
            raise StepError(
                f"{RAW_SIGNATURE!r} doesn't give {output!r}, the answer to the task {description.task!r}. "
                f"{near_misses(output, outputs)} {_REMEDY}"
            )
    elif len(outputs) == 1:  # as models were before train described them: one probability a row
        output = next(iter(outputs))
    else:
        raise StepError(f"The model doesn't say which of its outputs is the answer: {', '.join(sorted(outputs))}.")
    return Answers(description.task, output, tuple(description.classes), threshold)


def _warm_up(model: LoadedModel) -> None:
    import tensorflow as tf  # pylint: disable=import-outside-toplevel,import-error

    for rows in _WARM_UP_ROWS:
        tensors = [_sample(column, rows) for column in model.columns]
        try:
            values = model.ask(tensors)
        except tf.errors.OpError as error:
            raise StepError(f"The model doesn't answer: {tensorflow_cause(error)}. {_REMEDY}") from error
        except NoAnswerError:  # zeros are no values of this model's
            continue
        if values.shape != (rows, model.answers.width) or values.dtype.kind != "f":
            raise StepError(
                f"The model answers {rows} rows with numbers of shape {values.shape}; its task "
                f"{model.answers.task!r} has {model.answers.width} a row. {_REMEDY}"
            )


def _sample(column: Column, rows: int) -> np.ndarray:
    value = {"FLOAT": 0.0, "INT": 0, "BYTES": b""}[column.kind]
    return np.full((rows, *(size or 1 for size in column.shape)), value, column.dtype)
