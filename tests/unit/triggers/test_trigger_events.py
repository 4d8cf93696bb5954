"""What Cloud Storage, Pub/Sub, Eventarc and Cloud Scheduler send, read as one kind of event."""

import json
from datetime import UTC, datetime

import pytest
from support import event_forms

from pipeyard.triggers import events
from pipeyard.triggers.domain import EventKind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATED = datetime(2026, 3, 1, 11, 59, 58, 123000, UTC)
FORMS = event_forms.forms("2026-03-01")
BINARY = event_forms.headers("2026-03-01")
RESOURCE = event_forms.resource("2026-03-01")
STRUCTURED = event_forms.envelope("2026-03-01")
NOTIFICATION = event_forms.attributes("2026-03-01")


def message(attributes, payload=RESOURCE):
    return event_forms.message("2026-03-01", attributes, payload)


def parse(headers, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return events.parse(headers, body, NOW)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_new_object_is_the_same_event(form):
    event = parse(*FORMS[form])
    assert event.kind == EventKind.OBJECT
    assert event.uri == "gs://landing/taxi/a.csv"
    assert event.subject == "gs://landing/taxi/a.csv#1772366398123456"
    assert (event.generation, event.time) == (1772366398123456, CREATED)
    assert event.attributes == {"bucket": "landing", "name": "taxi/a.csv"}
    assert event.id in ("7", f"{event_forms.SOURCE}|7")


def test_an_entry_of_the_audit_log_is_a_new_object_whose_generation_nobody_knows():
    entry = {
        "insertId": "abc",
        "protoPayload": {
            "methodName": "storage.objects.create",
            "resourceName": "projects/_/buckets/landing/objects/taxi/a.csv",
        },
    }
    event = parse({**BINARY, "Ce-Type": "google.cloud.audit.log.v1.written"}, entry)
    assert (event.id, event.uri, event.generation) == ("abc", "gs://landing/taxi/a.csv", 0)
    assert event.subject == "gs://landing/taxi/a.csv#2026-03-01T11:59:59+00:00"
    entry["protoPayload"]["methodName"] = "storage.objects.get"
    with pytest.raises(events.Ignored, match="makes no object"):
        parse({**BINARY, "Ce-Type": "google.cloud.audit.log.v1.written"}, entry)


@pytest.mark.parametrize("happening", ["OBJECT_DELETE", "OBJECT_ARCHIVE"])
def test_an_object_that_is_gone(happening):
    event = parse({}, message({**NOTIFICATION, "eventType": happening, "eventTime": "2026-03-01T11:59:59Z"}))
    assert (event.kind, event.subject) == (EventKind.REMOVAL, "gs://landing/taxi/a.csv#1772366398123456")


def test_changed_metadata_and_folders_start_nothing():
    with pytest.raises(events.Ignored, match="content is as it was"):
        parse({}, message({**NOTIFICATION, "eventType": "OBJECT_METADATA_UPDATE"}))
    with pytest.raises(events.Ignored, match="gs://landing/taxi/ stands for a folder"):
        parse(BINARY, {**RESOURCE, "name": "taxi/"})


def test_a_job_of_cloud_scheduler_is_the_same_event_when_it_tries_again():
    headers = {
        "ce-specversion": "1.0",
        "ce-type": events.SCHEDULED,
        "ce-source": "pipeyard",
        "ce-id": "schedule",
        "X-CloudScheduler-JobName": "taxi",
        "X-CloudScheduler-ScheduleTime": "2026-03-01T03:00:00Z",
    }
    first, second = (parse(headers, {"pipeline": "chicago_taxi"}) for _ in range(2))
    assert first == second
    assert (first.kind, first.id) == (EventKind.SCHEDULE, "")  # its id never changes
    assert first.subject == "schedule chicago_taxi 2026-03-01T03:00:00Z"
    tomorrow = parse({**headers, "X-CloudScheduler-ScheduleTime": "2026-03-02T03:00:00Z"}, {"pipeline": "chicago_taxi"})
    assert tomorrow.subject != first.subject


def test_that_time_passed_needs_no_body():
    headers = {"ce-specversion": "1.0", "ce-type": events.TICK, "ce-source": "pipeyard", "ce-id": "tick"}
    assert parse(headers, b"").kind == EventKind.TICK


def test_a_run_that_completed():
    told = {"pipeline": "features", "environment": "dev", "run": "r-1", "state": "SUCCEEDED"}
    envelope = {**STRUCTURED, "type": events.COMPLETED}
    event = parse({}, {**envelope, "data": told})
    assert (event.kind, event.subject) == (EventKind.COMPLETION, "run dev r-1")
    with pytest.raises(events.Ignored, match="ended as FAILED"):
        parse({}, {**envelope, "data": {**told, "state": "FAILED"}})


def test_nanoseconds_and_other_zones_are_times():
    event = parse(BINARY, {**RESOURCE, "timeCreated": "2026-03-01T12:59:58.123000000+01:00"})
    assert event.time == CREATED


@pytest.mark.parametrize(
    ("headers", "content", "told"),
    [
        ({}, b"{", "It isn't JSON"),
        ({}, b"[1]", "It is list, no JSON object"),
        ({}, {"hello": 1}, "It has hello, as no event has"),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", "Send one a request"),
        ({**BINARY, "Ce-Type": "google.cloud.storage.object.v1.finalised"}, RESOURCE, "Did you mean 'google.cloud.sto"),
        (BINARY, {**RESOURCE, "bucket": ""}, "without a bucket and a name"),
        (BINARY, {**RESOURCE, "generation": "x"}, "Its generation is 'x'"),
        (BINARY, {**RESOURCE, "timeCreated": "today"}, "Its time is 'today'"),
        ({}, {"message": {"data": "%"}}, "isn't base64"),
        ({}, message({"origin": "x"}, {"a": 1}), "no notification (its attributes: origin)"),
        ({}, message({**NOTIFICATION, "eventType": "OBJECT_FINALISE"}), "Did you mean 'OBJECT_FINALIZE'"),
        ({}, message(NOTIFICATION, [1]), "Its payload is list"),
        ({}, {**STRUCTURED, "type": events.SCHEDULED, "data": {}}, "pipeyard trigger scheduler"),
        ({}, {**STRUCTURED, "type": events.COMPLETED, "data": {"run": 1}}, "pipeline, environment, run, state"),
    ],
)
def test_what_is_no_event_is_told_apart_with_what_to_send(headers, content, told):
    with pytest.raises(events.Unreadable) as caught:
        parse(headers, content)
    assert told in str(caught.value)


def test_events_without_an_id_are_not_each_other_though_one_source_sends_them():
    headers = {name: value for name, value in BINARY.items() if name.lower() != "ce-id"}
    assert "ce-source" in {name.lower() for name in headers}
    first, second = (parse(headers, {**RESOURCE, "name": name}) for name in ("a", "b"))
    assert (first.id, second.id) == ("", "")
    assert first.subject != second.subject
