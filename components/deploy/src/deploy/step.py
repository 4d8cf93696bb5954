"""The step: checks, pushes, registers, stages, writes."""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from deploy import (
    card_data,
    card_declaration,
    card_page,
    following,
    infra,
    model_card,
    parameters,
    rollout,
    sampling,
    serving,
    targets,
)
from rollout.desired import OTHER
from rollout.policy import DIRECT
from stepkit import digest, examples, registry, schemas, served
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription
from stepkit.outputs import Outputs

# As data_validation calls it.
_STATISTICS = PurePosixPath(served.STATISTICS).name
# As long as the model is wide, or artifacts of their own.
_NO_METADATA = ("metrics", "arguments")


def run(args: argparse.Namespace) -> None:
    """Deploys the model.

    Raises:
        StepError: an input is bad, the model fails its validation, or it can't be pushed or registered.
        UsageError: as `parameters.check` does.
    """
    parameters.check(args)
    evaluated = read_json(Path(args.metrics))
    metrics = numbers(evaluated)
    # Before the model is loaded and pushed: a registry that can't be reached is the most likely failure.
    registry.get_by_alias(args.registry_uri, args.model_name, args.alias)
    target = _target(args)
    following.reach(target)

    model, schema, folder = Path(args.model), Path(args.schema), Path(args.examples)
    types = schemas.read_types(args.schema, schemas.SERVING)
    sample = sampling.read(folder, args.eval_split, types, args.sample_rows)
    validation = infra.validate(model, sample)
    lineage = {
        "run_id": args.run_id,
        "schema_digest": digest.of_file(schema),
        "examples_digest": digest.of_file(folder / examples.MANIFEST),
    }
    beside: dict[str, Path | bytes] = {served.STATISTICS: _statistics(Path(args.statistics))}
    if point := parameters.operating_point(args.operating_point):
        beside[served.OPERATING_POINT] = point
    model_digest = serving.digest_of(model)
    card = _card(args, {**lineage, "model_digest": model_digest}, validation.description, evaluated)
    cards = {served.MODEL_CARD: _to_json(card), served.MODEL_CARD_PAGE: card_page.render(card).encode()}
    candidate = rollout.Candidate(
        args.model_name, model, model_digest, metrics, lineage, {**beside, **cards}, facts(validation.description)
    )
    with Outputs(args.executor_input) as outputs:
        _write_json(outputs.file(args.infra_validation), validation.to_json())
        for path, name in ((args.model_card, served.MODEL_CARD), (args.model_card_page, served.MODEL_CARD_PAGE)):
            if path:  # beside the model they are anyway
                outputs.file(path).write_bytes(cards[name])
        described = outputs.file(args.pushed_model)
        versions = serving.open_versions(args.serving_uri, args.model_name)
        if args.strategy != DIRECT and not target.is_begun() and (there := versions.numbers()):
            print(_without_rollout(args, there), file=sys.stderr)
        deployed = rollout.deploy_now(candidate, versions, args.registry_uri, args.alias, target)
        deployed = following.follow(deployed, target, args.serving_uri, args.alias, time.sleep)
        version = deployed.version
        record = rollout.to_record(candidate, version.version, version.uri, deployed.alias)
        record |= {"pushed": deployed.pushed}
        if args.strategy != DIRECT:
            record |= {"strategy": args.strategy, "role": deployed.role}
        if deployed.decided:
            record |= {"decided": deployed.decided}
        _write_json(described, record)
        outputs.metadata("pushed_model", {key: value for key, value in record.items() if key not in _NO_METADATA})
        outputs.parameter(args.pushed_uri, version.uri)
        outputs.parameter(args.version, version.version)
    _tell(validation, deployed, len(sample))


def _tell(validation: infra.Validation, deployed: rollout.Deployed, rows: int) -> None:
    took = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in validation.seconds.items())
    print(f"loaded in {validation.load_seconds:.2f} s; first answers: {took}", file=sys.stderr)
    version = deployed.version
    did = "pushed" if deployed.pushed else "was there already: nothing pushed"
    print(
        f"{rows} rows answered, largest difference of the signatures {validation.max_difference:.1g}; "
        f"version {version.version} {did}, {_standing(deployed)} of {version.name!r}: {version.uri}",
        file=sys.stderr,
    )


def _without_rollout(args: argparse.Namespace, there: list[int]) -> str:
    return (
        f"versions {', '.join(map(str, there))} of {args.model_name!r} were pushed before, but --serving-target "
        f"{args.serving_target} knows of none: this one gets all traffic at once, and --strategy {args.strategy} "
        "begins with the next. If another one serves already, deploy that with strategy direct, and then this one."
    )


def _target(args: argparse.Namespace) -> targets.DeployTarget:
    rules = targets.Rules(
        strategy=args.strategy,
        policy=parameters.policy(args.rollout_policy),
        registry_uri=registry.absolute(args.registry_uri),
        run_id=args.run_id,
        now=time.time,
        options=args.serving_options,
    )
    return targets.open_target(args.serving_target, args.serving_uri, args.model_name, rules)


def _standing(deployed: rollout.Deployed) -> str:
    if deployed.decided:
        return f"{deployed.decided} and {deployed.alias or 'not served'}"
    if deployed.role == OTHER:
        return "decided on before and not tried again (another rollout_policy does, or strategy direct)"
    return deployed.alias


def _card(
    args: argparse.Namespace,
    lineage: Mapping[str, str],
    description: ModelDescription | None,
    evaluated: Mapping[str, Any],
) -> dict[str, Any]:
    return model_card.compose(
        model_card.Known(
            args.model_name,
            {**lineage, **args.lineage},
            card_declaration.read(args.module, args.module_uri),
            description,
            card_data.datasets(Path(args.examples)),
            card_data.statistics(_statistics(Path(args.statistics))),
            evaluated,
            args.operating_point,
        )
    )


def read_json(path: Path) -> dict[str, Any]:
    """Reads what evaluate wrote: the overall metrics, and objects of others.

    Raises:
        StepError: the file is missing or isn't a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StepError(f"No metrics at {str(path)!r}. Give evaluate's output.") from error
    except ValueError as error:
        raise StepError(f"The metrics {str(path)!r} aren't valid JSON ({error}). Run evaluate again.") from error
    if not isinstance(found, dict):
        raise StepError(f"The metrics {str(path)!r} aren't a JSON object of numbers. Give evaluate's output.")
    return found


def numbers(evaluated: Mapping[str, Any]) -> dict[str, float]:
    """Returns the overall metrics; undefined ones and the baseline's are left out."""
    return {name: float(value) for name, value in evaluated.items() if _is_number(value)}


def facts(description: ModelDescription | None) -> dict[str, Any]:
    """Returns what the record says of a model's use: its task, and arguments called otherwise than columns."""
    if description is None:
        return {}
    renamed = {name: argument for name, argument in description.arguments.items() if name != argument}
    return {"task": description.task} | ({"arguments": renamed} if renamed else {})


def _statistics(folder: Path) -> Path:
    found = folder / _STATISTICS
    if not found.is_file():
        raise StepError(
            f"No statistics at {str(folder)!r}: it has no {_STATISTICS}. Give data_validation's output, of the data "
            "that the model was trained on."
        )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_bytes(_to_json(value))


def _to_json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
