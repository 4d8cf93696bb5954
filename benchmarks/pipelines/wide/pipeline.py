"""A thousand sparse numbers: trains and deploys a model of a generated table, without a schema."""
# pylint: disable=singleton-comparison,no-member,expression-not-assigned  # kfp's DSL

from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

HERE = Path(__file__).parent
MODULE = (HERE / "module.py").read_text(encoding="utf-8")
LABEL = "clicked"

components = ComponentStore(local_search_paths=[HERE.parents[1] / "components"]).load_components(
    "extract", "data_validation", "transform", "train", "evaluate", "deploy", "summarize"
)


@dsl.pipeline(name="wide", description="Is the row clicked?")
def wide(source: str, serving_uri: str, registry_uri: str, model_name: str = "wide"):
    """Extract, validate, transform, train, evaluate, deploy."""
    summary = components.summarize(
        pipeline="wide", run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, serving_uri=serving_uri, model_name=model_name
    ).set_caching_options(False)
    with dsl.ExitHandler(summary):
        extract = components.extract(source=source)
        validation = components.data_validation(examples=extract.outputs["examples"], label_key=LABEL)
        transform = components.transform(
            examples=extract.outputs["examples"], schema=validation.outputs["schema"], module=MODULE
        )
        train = components.train(
            transformed_examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            label_key=LABEL,
            module=MODULE,
        )
        evaluation = components.evaluate(
            examples=extract.outputs["examples"],
            schema=transform.outputs["raw_schema"],
            model=train.outputs["model"],
            label_key=LABEL,
            eval_split="test",
            thresholds={"AUC": {"lower": 0.6}},
            registry_uri=registry_uri,
            model_name=model_name,
        )
        with dsl.If(evaluation.outputs["blessed"] == True, name="model-is-blessed"):
            components.deploy(
                model=train.outputs["model"],
                examples=extract.outputs["examples"],
                schema=transform.outputs["raw_schema"],
                metrics=evaluation.outputs["metrics"],
                statistics=validation.outputs["statistics"],
                serving_uri=serving_uri,
                model_name=model_name,
                registry_uri=registry_uri,
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            )
