"""Parts of the local runner that need no pipeline."""

import fsspec
import pytest
from servers.storage import BUCKET

from pipeyard import ir
from pipeyard.errors import PipeyardError
from pipeyard.ir import values
from pipeyard.ir.values import Types
from pipeyard.local import conditions, external
from pipeyard.local.placeholders import Resolver
from pipeyard.local.scheduler import Scheduler


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        ("True", Types.BOOLEAN, True),
        ("false\n", Types.BOOLEAN, False),
        ("3\n", Types.NUMBER_INTEGER, 3),
        (3.0, Types.NUMBER_INTEGER, 3),
        ("2", Types.NUMBER_DOUBLE, 2.0),
        (" text ", Types.STRING, " text "),
        (3, Types.STRING, "3"),
        ("[1.0, 2.5]", Types.LIST, [1, 2.5]),
        ({"a": {"b": 1.0}}, Types.STRUCT, {"a": {"b": 1}}),
    ],
)
def test_values_take_their_declared_type(raw, kind, expected):
    coerced = values.coerce(raw, kind, "it")
    assert (coerced, type(coerced)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("yes", Types.BOOLEAN),
        ("3.5", Types.NUMBER_INTEGER),
        ("3.0", Types.NUMBER_INTEGER),
        ("1e3", Types.NUMBER_INTEGER),
        (True, Types.NUMBER_INTEGER),
        ("x", Types.NUMBER_DOUBLE),
        ("{}", Types.LIST),
        ("[", Types.STRUCT),
    ],
)
def test_values_of_another_type_are_refused(raw, kind):
    with pytest.raises(PipeyardError, match="it is .* which isn't"):
        values.coerce(raw, kind, "it")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-05, "0.00001"),
        (1e21, "1000000000000000000000"),
        (-2.5e-7, "-0.00000025"),
        (2.0, "2"),
        (2**53, "9007199254740992"),
        (None, ""),
        (True, "true"),
        ({"lr": [1e-05, 3]}, '{"lr": [0.00001, 3]}'),
        ("1e-05", "1e-05"),
    ],
)
def test_values_are_text_in_commands_as_the_launcher_writes_them(value, text):
    assert values.as_text(value) == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1", Types.NUMBER_INTEGER),
        ("0.5", Types.NUMBER_DOUBLE),
        ("true", Types.BOOLEAN),
        ("[1]", Types.LIST),
        ("{}", Types.STRUCT),
        (None, Types.NUMBER_INTEGER),
        (1, Types.BOOLEAN),
        ([1], Types.STRUCT),
    ],
)
def test_between_tasks_only_text_is_converted_to(value, kind):
    with pytest.raises(PipeyardError, match="it is "):
        values.typed(value, kind, "it")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [(1e-05, Types.STRING, "0.00001"), (3, Types.NUMBER_DOUBLE, 3.0), ([1], Types.LIST, [1]), (None, Types.STRING, "")],
)
def test_between_tasks_values_of_the_declared_type_pass(value, kind, expected):
    assert values.typed(value, kind, "it") == expected


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("inputs.parameter_values['a'] == 'x'", True),
        ("!(inputs.parameter_values['a'] == 'x')", False),
        ("int(inputs.parameter_values['n']) >= 3 && inputs.parameter_values['b'] == true", True),
        ("double(inputs.parameter_values['n']) < 2.5 || inputs.parameter_values['f'] < 0.5", False),
        ("inputs.parameter_values['f'] == double(1)", True),
    ],
)
def test_conditions(condition, holds):
    assert conditions.holds(condition, {"a": "x", "n": 3, "b": True, "f": 1.0}) is holds


def test_a_condition_that_can_t_be_evaluated_says_why():
    with pytest.raises(PipeyardError, match="can't be evaluated"):
        conditions.holds("inputs.parameter_values['absent'] == 1", {})
    with pytest.raises(PipeyardError, match="doesn't parse"):
        conditions.holds("inputs.parameter_values['a' ==", {})


def test_unknown_placeholders_are_refused():
    resolver = Resolver({"inputs": {"parameterValues": {}, "artifacts": {}}, "outputs": {}}, {"pipeline_job_uuid": "u"})
    assert resolver.text("x-{{$.pipeline_job_uuid}}") == "x-u"
    with pytest.raises(PipeyardError, match="doesn't know: {{\\$.workspace_path}}"):
        resolver.text("{{$.workspace_path}}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", "not a compiled pipeline"),
        ("pipelineInfo: {name: p}\nschemaVersion: 2.2.0", "schemaVersion is '2.2.0'"),
        ("pipelineInfo: {name: p}\nschemaVersion: 2.1.0\nroot: {dag: {}}\nnovelty: 1", "doesn't know .*novelty"),
        (
            "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\ndeploymentSpec: {executors: {e: {customJob: {}}}}",
            "runs only on a cluster: \\['customJob'\\]",
        ),
    ],
)
def test_an_ir_that_isn_t_understood_is_refused(text, message):
    with pytest.raises(PipeyardError, match=message):
        ir.parse(text)


def test_external_state_follows_content_not_place(tmp_path):
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_text("1")
    before = external.fingerprint(["{source}"], {"source": str(tmp_path / "*.csv")})
    other.write_text("2")
    both = external.fingerprint(["{source}"], {"source": str(tmp_path / "*.csv")})
    one.write_text("3")
    changed = external.fingerprint(["{source}"], {"source": str(tmp_path / "*.csv")})
    assert len({str(each) for each in (before, both, changed)}) == 3
    assert external.fingerprint(["{source}"], {"source": str(tmp_path / "none")}) == {str(tmp_path / "none"): "absent"}


def test_external_state_of_databases_and_empty_inputs(tmp_path):
    database = tmp_path / "r.db"
    database.write_bytes(b"x")
    assert external.fingerprint(["{uri}"], {"uri": f"sqlite:///{database}"})[f"sqlite:///{database}"] != "absent"
    assert external.fingerprint(["{base}/{name}"], {"base": str(tmp_path), "name": ""}) == {}
    assert external.fingerprint(["{uri}"], {"uri": "postgresql://db/x"}) is None


def test_places_that_parameters_name():
    given = {
        "a": "/data/x",
        "b": "sqlite:////r/x.db",
        "c": "file:///f",
        "d": "x/y",
        "e": "gs://b/x",
        "f": ["/l"],
        "g": "",
    }
    assert external.places(given) == ["/data/x", "sqlite:////r/x.db", "file:///f"]


def test_external_state_in_an_object_store(tmp_path):
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/a", b"1")
    # This store tells nothing of contents, so what is read from it must not be cached.
    assert external.fingerprint(["{uri}"], {"uri": "memory://bucket/a"}) is None
    assert external.fingerprint(["{uri}"], {"uri": "memory://bucket/none"}) == {"memory://bucket/none": "absent"}


@pytest.fixture(params=["gs", "s3"])
def bucket(request, monkeypatch) -> tuple[str, fsspec.AbstractFileSystem]:
    """An empty folder in a bucket, and a file system that shares no cache with the one that is under test."""
    if request.param == "gs":
        others = request.getfixturevalue("shared_storage").files()
    else:
        url = request.getfixturevalue("s3")
        for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}.items():
            monkeypatch.setenv(name, value)
        others = fsspec.filesystem("s3", skip_instance_cache=True)
        others.mkdir(BUCKET)
    return f"{request.param}://{BUCKET}/state", others


def test_external_state_in_a_bucket_is_that_of_now(bucket):
    uri, others = bucket

    def told() -> str:
        found = external.fingerprint(["{uri}"], {"uri": uri})
        assert found is not None
        return found[uri]

    seen = [told()]
    for name, data in (("a", b"1"), ("a", b"2"), ("b/c", b"3")):
        others.pipe_file(f"{uri}/{name}", data)
        seen.append(told())
    assert seen[0] == external.ABSENT
    assert len(set(seen)) == len(seen)
    others.rm_file(f"{uri}/b/c")
    assert told() == seen[2]


@pytest.mark.parametrize(
    ("dependencies", "message"),
    [({"a": "b", "b": "a"}, "wait for each other"), ({"a": "gone"}, "a: it waits for 'gone', which isn't beside it")],
)
def test_tasks_that_can_never_start_are_refused(dependencies, message):
    tasks = "".join(
        f"      {name}: {{componentRef: {{name: c}}, dependentTasks: [{needed}]}}\n"
        for name, needed in dependencies.items()
    )
    text = (
        "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\ncomponents: {c: {executorLabel: e}}\n"
        f"deploymentSpec: {{executors: {{e: {{container: {{image: i}}}}}}}}\nroot:\n  dag:\n    tasks:\n{tasks}"
    )
    with pytest.raises(PipeyardError, match=message):
        Scheduler(ir.parse(text), executor=None, canceled=lambda: False, job={}).run({})
