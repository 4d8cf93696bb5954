"""The typed model of an environment. Text of errors is made in `problems`, where a line belongs to them."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from annotated_types import GroupedMetadata
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticKnownError

from pipeyard.ir.derivation import ALL
from pipeyard.settings import times
from pipeyard.settings.durations import Seconds
from pipeyard.settings.layers import Origin, Origins
from pipeyard.settings.problems import FILE, Unfit
from pipeyard.settings.targets import TARGETS, Target, known

HOURS = 3600.0
# Kubeflow's API takes up to ten runs of a schedule at once.
MOST_CONCURRENT_RUNS = 10
# Kubernetes keeps a deadline in 32 bits.
LONGEST_DEADLINE = 2**31 - 1


@dataclass(frozen=True)
class _Matching(GroupedMetadata):
    """Metadata of text that may be empty; else it is `pattern` as a whole. Errors don't repeat the text."""

    pattern: str
    meant: str

    def __iter__(self) -> Iterator[object]:
        yield AfterValidator(self._check)
        yield WithJsonSchema({"type": "string", "pattern": f"^({self.pattern})?$"})

    def _check(self, text: str) -> str:
        if text and not re.fullmatch(self.pattern, text):
            raise Unfit("this doesn't fit", f"Write {self.meant}.")
        return text


Url = Annotated[
    str, _Matching(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", "a URL such as https://HOST, without user and password")
]
BucketUri = Annotated[str, _Matching(r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/\S*)?", "gs://BUCKET or gs://BUCKET/PREFIX")]
BucketName = Annotated[
    str, _Matching(r"[a-z0-9][a-z0-9._-]+[a-z0-9]", "the bucket's name alone; what follows it is `prefix`")
]
RegistryAddress = Annotated[
    str,
    _Matching(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*", "HOST/PATH, in lower case, without https:// and without a tag"),
]
VariableName = Annotated[
    str, _Matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable, not what is in it")
]


def _deadline(value: float) -> float:
    if not 1 <= value <= LONGEST_DEADLINE:
        raise Unfit("no run has such a deadline", "Write a second or more, such as 6h; leave it out for none.")
    return value


def _retries(value: Any) -> dict[str, int]:
    """Returns counts by what names a step; a number alone is for all of them."""
    counts = value if isinstance(value, dict) else {} if value is None else {ALL: value}
    # A variable's value is text.
    counts = {name: int(each) if isinstance(each, str) and each.isdecimal() else each for name, each in counts.items()}
    if not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in counts.values()):
        raise Unfit("these are no retries", "Write a whole number for all steps, or a mapping such as {train: 2}.")
    if not all(re.fullmatch(r"\*|[^\s/*]+(/[^\s/*]+)*", name) for name in counts):
        raise Unfit("a key names no step", f"Write a step, group/step, or {ALL!r} for all others.")
    return counts


_COUNT = {"type": "integer", "minimum": 0}
DeadlineSeconds = Annotated[Seconds, AfterValidator(_deadline)]
Retries = Annotated[
    dict[str, int],
    BeforeValidator(_retries),
    WithJsonSchema({"anyOf": [_COUNT, {"type": "object", "additionalProperties": _COUNT}]}),
]


TargetName = Annotated[str, BeforeValidator(known), WithJsonSchema({"enum": list(TARGETS), "type": "string"})]


class Strict(BaseModel):
    """A part of the file. Keys that it doesn't have are refused."""

    model_config = ConfigDict(extra="forbid")


class Auth(Strict):
    """How the server learns who calls. Secrets are named by environment variable or file, and read when needed."""

    kind: Literal["none", "token", "service_account", "iap", "cookies"] = Field(
        "none",
        description="token: a bearer token; service_account: the token that Kubernetes mounts into a pod; "
        "iap: Google's Identity-Aware Proxy; cookies: of a session, as Dex sets them.",
    )
    token_env: VariableName = Field("", description="token: environment variable that holds it.")
    token_file: str = Field("", description="token: file that holds it, read again when it has changed.")
    service_account_file: str = Field(
        "/var/run/secrets/kubeflow/pipelines/token",
        description="service_account: where the pod's token is mounted.",
    )
    iap_client_id: str = Field("", description="iap: OAuth client id that the proxy was set up with.")
    credentials_file: str = Field(
        "", description="iap: key file of a service account; empty: the machine's credentials."
    )
    cookies_env: VariableName = Field("", description="cookies: environment variable that holds the Cookie header.")
    cookies_file: str = Field("", description="cookies: file that holds the Cookie header.")

    @model_validator(mode="after")
    def _complete(self) -> "Auth":
        for kind in ("token", "cookies"):
            named = [name for name in (f"{kind}_env", f"{kind}_file") if getattr(self, name)]
            if self.kind == kind and len(named) != 1:
                raise Unfit(f"kind {kind} takes exactly one of {kind}_env and {kind}_file", "Set one of them.")
            if self.kind != kind and named:
                raise Unfit(f"{named[0]} belongs to kind {kind}, this is kind {self.kind}", "Change one of them.")
        if (self.kind == "iap") != bool(self.iap_client_id):
            raise Unfit("kind iap and iap_client_id go together", "Set both or neither.")
        return self


class Kubernetes(Strict):
    """The Kubernetes below Kubeflow Pipelines: what the server made without recording it is found there."""

    context: str = Field("", description="Context of the kubeconfig; empty: in a pod, the pod's own cluster.")
    host: Url = Field("", description="URL of an API that asks for no credentials, such as `kubectl proxy` gives.")
    namespace: str = Field("", description="Where runs are; empty: the environment's namespace, or kubeflow.")


class Schedule(Strict):
    """When a pipeline runs by itself.

    Attributes:
        cron: five fields as crontab has them: minute, hour, day of month, month, day of week.
        catch_up: whether runs that were missed, as the schedule was off, are made up for.
    """

    cron: Annotated[str, AfterValidator(times.checked_cron)] = Field(
        description="Five fields as crontab has them: minute, hour, day of month, month, day of week."
    )
    timezone: Annotated[str, AfterValidator(times.checked_zone)] = Field(
        "UTC", description="Name of the IANA database, such as Europe/Berlin."
    )
    enabled: bool = True
    max_concurrent_runs: int = Field(1, ge=1, le=MOST_CONCURRENT_RUNS)
    catch_up: bool = Field(False, description="Make up for runs that were missed.")


# `kind:` to the settings of triggers of that kind, in the order of their definition.
TRIGGERS: dict[str, type["TriggerSettings"]] = {}


class TriggerSettings(Strict):
    """Settings of a trigger. Whoever defines a subclass with a `kind` has defined settings of that kind."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="Lower case letters, digits and dashes; its state is kept under that name.",
    )
    cool_down: Seconds = Field(0.0, description="No second run starts for so long after one that it started.")
    daily_cap: int | None = Field(None, ge=1, description="Most runs that it starts a day (UTC).")

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        # A property of the metaclass to pylint.
        (kind,) = get_args(cls.model_fields["kind"].annotation)  # pylint: disable=unsubscriptable-object
        TRIGGERS[kind] = cls

    @property
    def compares(self) -> bool:
        """Whether it needs what the last training run kept."""
        return False

    @property
    def lacks_baseline(self) -> bool:
        """Whether it compares, and its `baseline`, which kinds that compare have, isn't set."""
        return self.compares and not getattr(self, "baseline", "")


class EventTrigger(TriggerSettings):
    """New objects in a bucket start a run."""

    kind: Literal["event"]
    bucket: BucketName = Field(min_length=3, description="Name of the bucket, without gs://.")
    prefix: str = Field("", description="What objects' names begin with.")
    suffix: str = Field("", description="What objects' names end with.")
    parameter: str = Field(min_length=1, description="The pipeline's parameter that gets the URI of the new data.")
    quorum: int = Field(1, ge=1, description="So many different objects start one run.")
    quorum_window: Seconds = Field(HOURS, description="Within so long they have to arrive.")


_BASELINE = (
    "URI of a served model's folder, for what its newest version was trained on, or of the {} to compare with; empty, "
    "on this machine alone: the last training run's."
)


class DriftTrigger(TriggerSettings):
    """New data that is unlike the last training's starts a run."""

    kind: Literal["drift"]
    statistics: str = Field(min_length=1, description="URI of the new data's statistics.")
    baseline: str = Field("", description=_BASELINE.format("statistics"))
    max_distance: float = Field(gt=0, description="Largest distance of a feature's distributions that isn't drift.")
    features: dict[str, float] = Field(default_factory=dict, description="Feature to its own largest distance.")

    @property
    def compares(self) -> bool:
        return True


class QualityTrigger(TriggerSettings):
    """A served model that got worse starts a run."""

    kind: Literal["quality"]
    metrics: str = Field(min_length=1, description="URI of the served model's metrics: a JSON object of numbers.")
    baseline: str = Field("", description=_BASELINE.format("metrics"))
    min: dict[str, float] = Field(default_factory=dict, description="Metric to the least value that is good enough.")
    max: dict[str, float] = Field(default_factory=dict, description="Metric to the largest value that is good enough.")
    max_drop: dict[str, float] = Field(
        default_factory=dict, description="Metric to how far it may be below the baseline's."
    )

    @property
    def compares(self) -> bool:
        return bool(self.max_drop)

    @model_validator(mode="after")
    def _has_a_bound(self) -> "QualityTrigger":
        if not (self.min or self.max or self.max_drop):
            raise Unfit("it has no bound", "Set min, max or max_drop, such as min: {AUC: 0.7}.")
        return self


class CompletionTrigger(TriggerSettings):
    """A run of another pipeline that succeeded starts one of this."""

    kind: Literal["completion"]
    pipeline: str = Field(min_length=1, description="Folder name of the other pipeline.")
    environment: str = Field("", description="Environment that it ran in; empty: this one.")


_KnownTrigger = Annotated[
    EventTrigger | DriftTrigger | QualityTrigger | CompletionTrigger,
    Field(discriminator="kind"),
]


def _trigger(value: Any) -> TriggerSettings:
    """Returns the settings of a trigger, of whichever kind is defined; errors are those of a discriminated union."""
    if isinstance(value, TriggerSettings):
        return value
    if not isinstance(value, dict):
        raise PydanticKnownError("model_attributes_type")
    if "kind" not in value:
        raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
    kind = str(value["kind"])
    if kind not in TRIGGERS:
        told = {"discriminator": "'kind'", "tag": kind, "expected_tags": ", ".join(map(repr, TRIGGERS))}
        raise PydanticKnownError("union_tag_invalid", told)
    return TRIGGERS[kind].model_validate(value)


# Editors know the kinds that are defined here.
Trigger = Annotated[Any, PlainValidator(_trigger, json_schema_input_type=_KnownTrigger)]


class PipelineSettings(Strict):
    """What an environment sets for one pipeline."""

    parameters: dict[str, Any] = Field(default_factory=dict, description="Over those of the environment.")
    experiment: str = Field("", description="Over that of the environment.")
    deadline: DeadlineSeconds | None = Field(None, description="Over that of the environment.")
    retries: Retries = Field(
        default_factory=dict, description="Over those of the environment, step by step; a number over all of them."
    )
    schedule: Schedule | None = None
    triggers: list[Trigger] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_differ(self) -> "PipelineSettings":
        names = [each.name for each in self.triggers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Unfit(f"two triggers are named {twice[0]!r}, so that their state would be one", "Rename one.")
        return self


class Environment(Strict):
    """One place where pipelines run, with the file's `defaults` merged in.

    Attributes:
        name: the key that it stands under.
        target: what runs pipelines; `local`: this machine.
        experiment: '': the pipeline's name.
        pipeline_root: where runs keep their artifacts.
        bucket: what packages are uploaded to.
        timeout: seconds of a whole run that is waited for.
        deadline: seconds after which a run is stopped, whoever waits for it; None: never.
        retries: step to how often it is tried again; see `derivation.retried`.
        parameters: for every pipeline that has an input of the name.
        pipelines: for one pipeline, over those.
    """

    name: str
    target: TargetName = Field(description="What runs pipelines: this machine, Kubeflow Pipelines, Vertex AI.")
    host: Url = Field(
        "", description="kfp: URL of the API. vertex: of one that stands before Google's; empty: Google's own."
    )
    namespace: str = Field("", description="kfp: Kubernetes namespace, where there are several users.")
    project: str = Field("", description="vertex: Google Cloud project.")
    region: str = Field("", description="vertex: region, such as europe-west1.")
    service_account: str = Field("", description="What steps run as; empty: what the server gives them.")
    experiment: str = Field("", description="What runs are grouped under; empty: the pipeline's name.")
    pipeline_root: str = Field(min_length=1, description="Where runs keep their artifacts.")
    bucket: BucketUri = Field("", description="gs://BUCKET or gs://BUCKET/PREFIX that packages are uploaded to.")
    registry: RegistryAddress = Field("", description="HOST/PATH of images.")
    templates: Url = Field(
        "",
        description="vertex: Artifact Registry repository of format KFP that deployed pipelines are kept in, "
        "https://REGION-kfp.pkg.dev/PROJECT/REPOSITORY.",
    )
    auth: Auth = Field(default_factory=Auth)
    kubernetes: Kubernetes = Field(
        default_factory=Kubernetes, description="kfp: the Kubernetes below; see `pipeyard doctor`."
    )
    approval: Literal["none", "required"] = Field("none", description="Whether somebody has to approve a deployment.")
    timeout: Seconds = Field(3 * HOURS, description="How long a whole run is waited for.")
    deadline: DeadlineSeconds | None = Field(
        None, description="local, kfp: how long a whole run may take before it is stopped; empty: for ever."
    )
    retries: Retries = Field(
        default_factory=dict,
        description="How often a step is tried again: a number for all steps, or a mapping of steps (`train`, "
        "`condition-1/deploy`, `*` for all others) to numbers.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of every pipeline that has an input of the name."
    )
    secrets: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="local: Kubernetes secrets that steps take as environment variables: name to its keys, and of each "
        "the value, such as ${secret:DB_PASSWORD}.",
    )
    config_maps: dict[str, str] = Field(
        default_factory=dict,
        description="local: Kubernetes config maps that steps take as environment variables: name to a YAML or JSON "
        "file of its keys and values, or of its manifest.",
    )
    pipelines: dict[str, PipelineSettings] = Field(
        default_factory=dict, description="What is set for one pipeline, by the name of its folder."
    )

    _origins: Origins | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _complete(self) -> "Environment":
        self.target_settings.check(self)
        return self

    @property
    def target_settings(self) -> type[Target]:
        """What the target takes of these settings."""
        return TARGETS[self.target]

    @property
    def on_server(self) -> bool:
        """Whether pipelines are deployed there; else it is this machine, which runs what is checked out."""
        return self.target_settings.on_server

    def parameters_of(self, pipeline: str, declared: Container[str]) -> dict[str, Any]:
        """Returns the parameters for every pipeline, where they apply, with those for this one over them.

        Args:
            pipeline: name of the pipeline's folder.
            declared: names of the inputs that it has.
        """
        given = {name: value for name, value in self.parameters.items() if name in declared}
        return given | self.of(pipeline).parameters

    def schedule_of(self, pipeline: str) -> Schedule | None:
        """Returns when a pipeline runs by itself, if it does."""
        return self.of(pipeline).schedule

    def triggers_of(self, pipeline: str) -> list[Any]:
        """Returns what else starts a pipeline."""
        return self.of(pipeline).triggers

    def experiment_of(self, pipeline: str) -> str:
        """Returns what a pipeline's runs are grouped under; '': the pipeline's name."""
        return self.of(pipeline).experiment or self.experiment

    def deadline_of(self, pipeline: str) -> float | None:
        """Returns the seconds after which a run of a pipeline is stopped; None: never."""
        own = self.of(pipeline).deadline
        return self.deadline if own is None else own

    def retries_of(self, pipeline: str, named: Callable[[str], bool]) -> dict[str, int]:
        """Returns the retries for every pipeline, where they apply, with those for this one over them.

        Args:
            named: whether a key names a step of the pipeline.
        """
        own = self.of(pipeline).retries
        given = {key: count for key, count in self.retries.items() if key == ALL or named(key)}
        return own if ALL in own else given | own

    def of(self, pipeline: str) -> PipelineSettings:
        """Returns what is set for one pipeline, which may be nothing."""
        return self.pipelines.get(pipeline) or PipelineSettings()

    def chosen(self, there: Iterable[str]) -> list[str]:
        """Returns the pipelines that run there: those that it names, as far as they are there; all if it names none."""
        names = list(there)
        return [name for name in self.pipelines if name in names] if self.pipelines else names

    def origin(self, *key: str | int) -> Origin | None:
        """Returns where the file sets a key of this environment; none: it doesn't."""
        return self._origins.exact(key) if self._origins else None

    def where(self, *key: str | int) -> str:
        """Returns `settings.yaml:LINE` of a key, or of what it would stand in; without a line if it is from no file."""
        return str(self._origins.nearest(key)) if self._origins else FILE

    def located(self, origins: Origins) -> "Environment":
        """Returns this environment, which from now on tells of its keys where they stand."""
        self._origins = origins
        return self


def model_at(key: tuple[str | int, ...], data: Mapping[str, Any]) -> type[BaseModel] | None:
    """Returns the model of what stands under a key of an environment; none for values and what isn't known.

    Args:
        data: the environment as it was written; of triggers it is read which kind they are.
    """
    match key:
        case ():
            return Environment
        case ("auth",):
            return Auth
        case ("kubernetes",):
            return Kubernetes
        case ("pipelines", _):
            return PipelineSettings
        case ("pipelines", _, "schedule"):
            return Schedule
        case ("pipelines", name, "triggers", int() as index):
            return TRIGGERS.get(data["pipelines"][name]["triggers"][index].get("kind"))
        case _:
            return None
