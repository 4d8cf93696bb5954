"""Chicago taxi: trains and deploys a model of large tips."""

from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore, images_of

HERE = Path(__file__).parent
MODULE = (HERE / "module.py").read_text(encoding="utf-8")
SCHEMA = (HERE / "schema.pbtxt").read_text(encoding="utf-8")
LABEL = "big_tip"

components = ComponentStore(local_search_paths=[HERE.parents[1] / "components"]).load_components(
    "extract", "data_validation", "transform", "train", "evaluate", "deploy", "summarize"
)


@dsl.pipeline(name="chicago-taxi", description="Does the rider tip more than 20% of the fare?")
def chicago_taxi(
    source: str,
    serving_uri: str,
    registry_uri: str,
    model_name: str = "chicago_taxi",
    where: str = "",
    baseline_statistics_uri: str = "",
    hyperparameters: dict = {},
    epochs: int = 8,
    tune_trials: int = 0,
    seed: int = 1,
    checkpoint_uri: str = "",
    thresholds: dict = {"AUC": {"lower": 0.7, "min_change": -0.01}},
    alias: str = "champion",
    strategy: str = "direct",
    rollout_policy: dict = {},
    serving_target: str = "local",
    serving_options: dict = {},
    beam_args: list = [],
):
    """Extract, validate, transform, train, evaluate; deploy if the evaluation blesses the model."""
    summary = components.summarize(
        pipeline="chicago-taxi", run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, serving_uri=serving_uri, model_name=model_name
    ).set_caching_options(False)  # it tells of this very run
    with dsl.ExitHandler(summary):
        extract = components.extract(source=source, where=where)
        validation = components.data_validation(
            examples=extract.outputs["examples"],
            schema_text=SCHEMA,
            baseline_statistics_uri=baseline_statistics_uri,
            environments={"train": "TRAINING", "eval": "TRAINING", "test": "TRAINING"},
            slices=["payment_type"],
            beam_args=beam_args,
        )
        with dsl.If(validation.outputs["valid"] == True, name="data-is-valid"):
            transform = components.transform(
                examples=extract.outputs["examples"],
                schema=validation.outputs["schema"],
                module=MODULE,
                beam_args=beam_args,
            )
            train = components.train(
                transformed_examples=transform.outputs["transformed_examples"],
                transform_graph=transform.outputs["transform_graph"],
                label_key=LABEL,
                module=MODULE,
                hyperparameters=hyperparameters,
                epochs=epochs,
                tune_trials=tune_trials,
                seed=seed,
                checkpoint_uri=checkpoint_uri,
            )
            evaluation = components.evaluate(
                examples=extract.outputs["examples"],
                schema=validation.outputs["schema"],
                model=train.outputs["model"],
                label_key=LABEL,
                eval_split="test",
                thresholds=thresholds,
                slices=["payment_type", "trip_start_day"],
                importance_rows=2000,
                registry_uri=registry_uri,
                model_name=model_name,
                beam_args=beam_args,
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
                    strategy=strategy,
                    rollout_policy=rollout_policy,
                    serving_target=serving_target,
                    serving_options=serving_options,
                    module=MODULE,
                    lineage={"images": images_of(components)},
                    run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                )
