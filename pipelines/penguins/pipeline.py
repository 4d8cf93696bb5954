"""Palmer penguins: trains and deploys a model of their species."""

from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

HERE = Path(__file__).parent
MODULE = (HERE / "module.py").read_text(encoding="utf-8")
SCHEMA = (HERE / "schema.pbtxt").read_text(encoding="utf-8")
LABEL = "species"
SPLITS = {"train": 4, "eval": 1, "test": 1}

components = ComponentStore(local_search_paths=[HERE.parents[1] / "components"]).load_components(
    "extract", "data_validation", "transform", "train", "evaluate", "deploy", "summarize"
)


@dsl.pipeline(name="penguins", description="Which species is the penguin?")
def penguins(
    source: str,
    serving_uri: str,
    registry_uri: str,
    model_name: str = "penguins",
    where: str = "",
    hyperparameters: dict = {},
    epochs: int = 60,
    seed: int = 1,
    thresholds: dict = {
        "SparseCategoricalAccuracy": {"lower": 0.9, "min_change": -0.05},
        "MulticlassF1Score_macro": {"lower": 0.85},
    },
    alias: str = "champion",
):
    """Extract, validate, transform, train, evaluate; deploy if the evaluation blesses the model."""
    summary = components.summarize(
        pipeline="penguins", run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, serving_uri=serving_uri, model_name=model_name
    ).set_caching_options(False)  # it tells of this very run
    with dsl.ExitHandler(summary):
        extract = components.extract(source=source, where=where, splits=SPLITS, null_values=["", "NA"])
        validation = components.data_validation(
            examples=extract.outputs["examples"],
            schema_text=SCHEMA,
            environments=dict.fromkeys(SPLITS, "TRAINING"),
        )
        with dsl.If(validation.outputs["valid"] == True, name="data-is-valid"):
            transform = components.transform(
                examples=extract.outputs["examples"], schema=validation.outputs["schema"], module=MODULE
            )
            train = components.train(
                transformed_examples=transform.outputs["transformed_examples"],
                transform_graph=transform.outputs["transform_graph"],
                label_key=LABEL,
                module=MODULE,
                hyperparameters=hyperparameters,
                epochs=epochs,
                batch_size=32,
                early_stopping_patience=10,
                seed=seed,
            )
            evaluation = components.evaluate(
                examples=extract.outputs["examples"],
                schema=validation.outputs["schema"],
                model=train.outputs["model"],
                label_key=LABEL,
                module=MODULE,
                eval_split="test",
                thresholds=thresholds,
                slices=["Island"],
                min_slice_size=10,
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
