"""Which metrics fit which task: a metric that doesn't would give a number that means nothing."""

from collections.abc import Sequence

import tf_keras
from tensorflow_model_analysis.metrics import metric_types

from evaluate import own_metrics
from evaluate.entries import OF_CLASSES, Entry
from evaluate.problem import Problem
from stepkit import tasks
from stepkit.errors import StepError, near_misses

_ANY = ("ExampleCount", "WeightedExampleCount", "MeanLabel", "MeanPrediction", "Calibration")
# Of pairs of a label of 0 or 1 and a score.
_PAIRS = (
    *("AUC", "AUCPrecisionRecall", "BalancedAccuracy", "BinaryAccuracy", "BinaryCrossEntropy"),
    *("CalibrationPlot", "CoefficientOfDiscrimination", "ConfusionMatrixAtThresholds", "ConfusionMatrixPlot"),
    *("DiagnosticOddsRatio", "F1Score", "FN", "FNR", "FP", "FPR", "FallOut", "FalseDiscoveryRate", "FalseNegatives"),
    *("FalseOmissionRate", "FalsePositives", "FowlkesMallowsIndex", "Informedness", "Markedness", "MaxRecall"),
    *("MatthewsCorrelationCoefficient", "MissRate", "NPV", "NegativeLikelihoodRatio", "NegativePredictiveValue", "PPV"),
    *("PositiveLikelihoodRatio", "Precision", "PrecisionAtRecall", "PredictedPositiveRate", "Prevalence"),
    *("PrevalenceThreshold", "Recall", "RecallAtFalsePositiveRate", "RecallAtPrecision"),
    *("RelativeCoefficientOfDiscrimination", "ScoreDistributionPlot", "SensitivityAtSpecificity", "Specificity"),
    *("SpecificityAtSensitivity", "TN", "TNR", "TP", "TPR", "ThreatScore", "ThresholdAtRecall", "TrueNegatives"),
    *("TruePositives", "MeanSquaredError", "MeanAbsoluteError"),
)
_SPARSE = ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy")
_FIT = {
    tasks.MULTICLASS: (
        *_ANY,
        *_PAIRS,
        *_SPARSE,
        *OF_CLASSES,
        *("MultiClassConfusionMatrixAtThresholds", "MultiClassConfusionMatrixPlot"),
    ),
    tasks.MULTILABEL: (*_ANY, *_PAIRS, "BinaryCrossentropy", "MultiLabelConfusionMatrixPlot"),
    tasks.REGRESSION: (
        *_ANY,
        *own_metrics.OF_NUMBERS,
        *("CosineSimilarity", "LogCoshError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError"),
        *("MeanSquaredLogarithmicError", "Poisson", "RootMeanSquaredError", "SquaredPearsonCorrelation"),
    ),
}
# Of binary models all others may be asked for, as ever.
_NOT_BINARY = {
    *_SPARSE,
    *OF_CLASSES,
    *("CategoricalAccuracy", "CategoricalCrossEntropy", "CategoricalCrossentropy", "MultiClassConfusionMatrixPlot"),
    *("MultiClassConfusionMatrixAtThresholds", "MultiLabelConfusionMatrixPlot", "TopKCategoricalAccuracy"),
}


def keras_metrics() -> set[str]:
    """Returns the class names of Keras 2's metrics."""
    return {
        name
        for name, item in vars(tf_keras.metrics).items()
        if isinstance(item, type) and issubclass(item, tf_keras.metrics.Metric)
    }


def check(entries: Sequence[Entry], problem: Problem) -> None:
    """Checks that metrics exist and fit a task.

    Raises:
        StepError: one doesn't; says which would.
    """
    of_keras = keras_metrics()
    registered = {*metric_types.registered_metrics()}
    known = registered | of_keras | {*own_metrics.NAMES}
    for entry in entries:
        name = entry.class_name
        if name not in known:
            raise StepError(f"--metrics-config names {name!r}, which is no metric of TFMA. {near_misses(name, known)}")
        fit = _FIT.get(problem.task, known - _NOT_BINARY)
        if name not in fit:
            raise StepError(
                f"--metrics-config names {name!r}, which doesn't fit a {problem.task} model. Of those that do: "
                f"{', '.join(sorted(fit & known if isinstance(fit, set) else fit))}."
            )
        if (entry.aggregate or entry.per_class or entry.top_k) and name in (of_keras | {*_ANY}) - (
            {*_PAIRS, *OF_CLASSES} | ({*_ANY} - {"ExampleCount", "WeightedExampleCount"})
        ):
            raise StepError(
                f"--metrics-config: {name} is of a whole row, not of a class. Leave aggregate, per_class and top_k out"
                + ('; it takes {"config": {"k": 3}}.' if name == "SparseTopKCategoricalAccuracy" else ".")
            )
