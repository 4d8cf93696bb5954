"""Chicago taxi by gradient-boosted trees: a candidate for the place of chicago_taxi's model, and scores in a file."""

from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

HERE = Path(__file__).parent
MODULE = (HERE / "module.py").read_text(encoding="utf-8")
SCHEMA = (HERE.parent / "chicago_taxi" / "schema.pbtxt").read_text(encoding="utf-8")  # of the same data
LABEL = "big_tip"

store = ComponentStore(local_search_paths=[HERE.parents[1] / "components"])
trainer = store.load_component("train_trees")  # or "train": module.py has a Keras model, too
components = store.load_components(
    "extract", "data_validation", "transform", "evaluate", "deploy", "batch_predict", "summarize"
)


@dsl.pipeline(name="chicago-taxi-trees", description="Does the rider tip more than 20% of the fare? By trees.")
def chicago_taxi_trees(
    source: str,
    serving_uri: str,
    registry_uri: str,
    model_name: str = "chicago_taxi",
    where: str = "",
    hyperparameters: dict = {},
    tune_trials: int = 0,
    seed: int = 1,
    checkpoint_uri: str = "",
    thresholds: dict = {"AUC": {"lower": 0.7, "min_change": -0.01}},
    alias: str = "champion",
    predictions_uri: str = "",
):
    """Extract, validate, transform, train, evaluate; deploy and score the test split if the model is blessed."""
    summary = components.summarize(
        pipeline="chicago-taxi-trees",
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        serving_uri=serving_uri,
        model_name=model_name,
    ).set_caching_options(False)  # it tells of this very run
    with dsl.ExitHandler(summary):
        extract = components.extract(source=source, where=where)
        validation = components.data_validation(
            examples=extract.outputs["examples"],
            schema_text=SCHEMA,
            environments={"train": "TRAINING", "eval": "TRAINING", "test": "TRAINING"},
            slices=["payment_type"],
        )
        with dsl.If(validation.outputs["valid"] == True, name="data-is-valid"):
            transform = components.transform(
                examples=extract.outputs["examples"], schema=validation.outputs["schema"], module=MODULE
            )
            train = trainer(
                transformed_examples=transform.outputs["transformed_examples"],
                transform_graph=transform.outputs["transform_graph"],
                label_key=LABEL,
                module=MODULE,
                hyperparameters=hyperparameters,
                tune_trials=tune_trials,
                seed=seed,
                checkpoint_uri=checkpoint_uri,
            )
            evaluation = components.evaluate(
                examples=extract.outputs["examples"],
                schema=validation.outputs["schema"],
                model=train.outputs["model"],
                label_key=LABEL,
                module=MODULE,
                eval_split="test",
                thresholds=thresholds,
                slices=["payment_type", "trip_start_day"],
                registry_uri=registry_uri,
                model_name=model_name,
            )
            with dsl.If(evaluation.outputs["blessed"] == True, name="model-is-blessed"):
                components.deploy(
                    model=train.outputs["model"],
                    examples=extract.outputs["examples"],
                    schema=validation.outputs["schema"],
                    metrics=evaluation.outputs["metrics"],
                    statistics=validation.outputs["statistics"],
                    serving_uri=serving_uri,
                    model_name=model_name,
                    registry_uri=registry_uri,
                    alias=alias,
                    run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                )
                components.batch_predict(
                    examples=extract.outputs["examples"],
                    model=train.outputs["model"],
                    splits=["test"],
                    columns=["trip_start_timestamp", "fare", "tips"],
                    prefix="predicted_",
                    output_uri=predictions_uri,
                )
