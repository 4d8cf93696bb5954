"""What isn't an event: whatever is sent to the trigger function, it answers, and 400 to what is none."""

import base64
import copy
import json
import random
from collections import Counter
from datetime import UTC, datetime

import pytest
from support import event_forms, trigger_projects

from pipeyard.triggers import cloud_function, events

TODAY = f"{datetime.now(UTC):%Y-%m-%d}"
FORMS = event_forms.forms(TODAY)
BODIES = 5_000
JUNK = [
    *(None, "", "text", 0, -1, 1.5, True, False, [], {}, [1], [None], [[]], {"a": 1}, {"a": {"a": {}}}, "\0", "é" * 9),
    *("1e999", "\ud800", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-02-30", 10**30, "9" * 5000),
    *("x" * 5000, {"eventType": [1]}, {"message": {}}, "dGV4dA==", "bnVsbA==", "W10=", "=", {"\ud800": "\udfff"}),
    *("OBJECT_DELETE", "OBJECT_METADATA_UPDATE", "storage#object", events.TICK, events.COMPLETED, events.SCHEDULED),
]
# Other forms, and what each of the function's seven tracebacks came of.
SEEDS = [
    *FORMS.values(),
    ({}, {**event_forms.envelope(TODAY), "type": events.SCHEDULED, "data": {"pipeline": "read"}}),
    (
        {},
        {
            **event_forms.envelope(TODAY),
            "type": events.COMPLETED,
            "data": {"pipeline": "a", "environment": "b", "run": "c", "state": "SUCCEEDED", "ended_at": TODAY},
        },
    ),
    (
        event_forms.headers(TODAY, **{"Ce-Type": "google.cloud.audit.log.v1.written"}),
        {
            "insertId": "a",
            "protoPayload": {
                "methodName": "storage.objects.create",
                "resourceName": "projects/_/buckets/landing/objects/taxi/a.csv",
            },
        },
    ),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    trigger_projects.make(root, {"read": {"triggers": [{**trigger_projects.NEW_FILES, "cool_down": "1d"}]}})
    variables = {cloud_function.ENVIRONMENT: "here", cloud_function.STATE: str(root / "states")}
    return cloud_function.triggers(root, variables, lambda environment, pipeline, parameters, key: f"run-{key}")


def answer(served, headers, body):
    logged = []
    status, told = cloud_function.answer(served, headers, body, logged.append)
    json.dumps(told).encode()
    return status, told, [json.loads(line) for line in logged]


def places(value, way=()):
    yield way
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*way, key))


def mutated(chance, value):
    """Returns a value of JSON with something in it replaced, taken away or added."""
    value = copy.deepcopy(value)
    *way, last = chance.choice([way for way in places(value) if way] or [(None,)])
    if last is None:
        return chance.choice(JUNK)
    holder = value
    for key in way:
        holder = holder[key]
    kind = chance.random()
    if kind < 0.1:
        del holder[last]
    elif kind < 0.2 and isinstance(holder, dict):
        holder[chance.choice(["message", "context", "data", "specversion", "eventId", "kind", "attributes"])] = (
            chance.choice(JUNK)
        )
    elif kind < 0.5 and isinstance(holder[last], str) and holder[last].startswith("ey"):
        inner = mutated(chance, json.loads(base64.b64decode(holder[last])))
        holder[last] = base64.b64encode(json.dumps(inner).encode()).decode()
    else:
        holder[last] = chance.choice(JUNK)
    return value


def damaged(chance, body):
    """Returns bytes with some lost, changed or repeated."""
    at, size = chance.randrange(len(body) + 1), chance.randrange(1, 9)
    return chance.choice(
        [
            body[:at],
            body[:at] + body[at + size :],
            body[:at] + bytes(chance.randrange(256) for _ in range(size)) + body[at:],
            body[:at] + body[at : at + size] * 50 + body[at:],
            body.replace(b'"', b"'", 2),
            body.replace(b'"7"', chance.choice([b"1e999", b"NaN", b"-Infinity", b'"\\ud800"'])),
        ]
    )


def bodies():
    chance = random.Random(15)
    for number in range(BODIES):
        headers, content = chance.choice(SEEDS)
        for _ in range(chance.choice([1, 1, 2, 3])):
            content = mutated(chance, content)
        if chance.random() < 0.1:
            headers = {**headers, chance.choice(["Ce-Type", "ce-time", "ce-id", "content-type"]): "\xff" * number}
        body = json.dumps(content).encode()
        yield headers, damaged(chance, body) if chance.random() < 0.3 else body


def test_5000_mutated_bodies_get_200_or_400_and_each_400_one_line_in_the_log(served):
    answers = Counter()
    for headers, body in bodies():
        status, told, logged = answer(served, headers, body)
        answers[status] += 1
        assert status in (200, 400), (headers, body)
        if status == 400:
            (line,) = logged
            assert (line["severity"], line["message"]) == ("ERROR", told["message"])
            assert len(line["message"]) < 2500
    assert answers.total() == BODIES
    assert answers[400] > BODIES / 4 and answers[200] > BODIES / 10  # it does both, so it sees both


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_still_an_event_without_mutations(form):
    headers, content = FORMS[form]
    assert events.parse(headers, json.dumps(content).encode(), datetime.now(UTC)).uri == "gs://landing/taxi/a.csv"


RESOURCE = event_forms.resource(TODAY)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {"message": {"attributes": [1], "messageId": "7"}},
            "Its attributes doesn't fit: Input should be a",
        ),
        ({"message": {"attributes": "text"}}, "Its attributes doesn't fit"),
        ({"message": {"attributes": {"eventType": [1]}}}, "Its attributes.eventType doesn't fit"),
        ({"message": {"data": {"a": 1}}}, "Its data doesn't fit"),
        ({"context": {"eventType": "google.pubsub.topic.publish"}, "data": None}, "Its content doesn't fit"),
        ({"context": {"eventType": "google.pubsub.topic.publish"}, "data": "text"}, "Its content doesn't fit"),
        ({"context": {"eventType": "google.storage.object.finalize"}, "data": [1]}, "Its content doesn't fit"),
        ({"context": "text", "eventId": "1"}, "Cloud Storage has no event ''"),
        (b'{"kind":"storage#object","bucket":"b","name":"n","generation":1e999}', "Its generation is 'inf'"),
        ({**RESOURCE, "generation": 2**63}, "Its generation is '9223372036854775808', no whole number of 64 bits"),
        ({**RESOURCE, "generation": "-1"}, "Its generation is '-1'"),
        (b'{"kind":"storage#object","bucket":"b","name":"n","generation":NaN}', "NaN is no JSON"),
        ({**RESOURCE, "timeCreated": "9999-12-31T23:59:59-01:00"}, "Its time is '9999-12-31T23:59:59-01:00'"),
        ({**RESOURCE, "timeCreated": "0001-01-01T00:00:00+01:00"}, "Its time is '0001-01-01T00:00:00+01:00'"),
        ({**RESOURCE, "name": "taxi/\ud800.csv"}, "Its name doesn't fit"),
        ({**RESOURCE, "name": "x" * 1025}, "Its name doesn't fit: String should have at most 1024 characters"),
        ({**RESOURCE, "name": ["taxi/a.csv"]}, "Its name doesn't fit"),
        ({**event_forms.envelope(TODAY), "type": {"a": 1}}, "Its type doesn't fit"),
        ({**event_forms.envelope(TODAY), "data": "text"}, "Its content doesn't fit"),
        ({**event_forms.envelope(TODAY), "data_base64": 3.5}, "Its data isn't base64"),
        (b"[" * 100_000, "It is past what an event may have: it is nested more than 32 deep"),
        (b'{"message":' * 40 + b"1" + b"}" * 40, "nested more than 32 deep"),
        (
            b'{"message": {"data": "' + b"a" * 2**20 + b'"}}',
            "It is past what an event may have: it has 1,048,601 bytes",
        ),
        (b"\xff\xfe", "It isn't JSON"),
        (b"", "It isn't JSON"),
        (b"null", "It is NoneType, no JSON object"),
    ],
)
def test_what_is_no_event_is_400_with_what_is_wrong(served, body, told):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answered, logged = answer(served, {"content-type": "application/json"}, content)
    assert (status, len(logged)) == (400, 1)
    assert told in answered["message"]
