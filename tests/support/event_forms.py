"""The forms in which Google tells that gs://landing/taxi/a.csv is new: headers and body."""

import base64
import json
from typing import Any

TYPE = "google.cloud.storage.object.v1.finalized"
SOURCE = "//storage.googleapis.com/projects/_/buckets/landing"
GENERATION = "1772366398123456"


def resource(day: str) -> dict[str, Any]:
    """Returns what Cloud Storage says of the object, which was made on a day (YYYY-MM-DD)."""
    return {
        "kind": "storage#object",
        "id": f"landing/taxi/a.csv/{GENERATION}",
        "bucket": "landing",
        "name": "taxi/a.csv",
        "generation": GENERATION,
        "timeCreated": f"{day}T11:59:58.123Z",
        "size": "12",
    }


def headers(day: str, **more: str) -> dict[str, str]:
    """Returns a binary CloudEvent's."""
    return {
        "Ce-Specversion": "1.0",
        "Ce-Type": TYPE,
        "Ce-Source": SOURCE,
        "Ce-Id": "7",
        "Ce-Time": f"{day}T11:59:59Z",
        "Content-Type": "application/json",
        **more,
    }


def envelope(day: str) -> dict[str, Any]:
    """Returns a structured CloudEvent, without its data."""
    return {"specversion": "1.0", "type": TYPE, "source": SOURCE, "id": "7", "time": f"{day}T11:59:59Z"}


def attributes(day: str, **more: str) -> dict[str, str]:
    """Returns those of a notification in Pub/Sub."""
    return {
        "bucketId": "landing",
        "objectId": "taxi/a.csv",
        "objectGeneration": GENERATION,
        "eventType": "OBJECT_FINALIZE",
        "eventTime": f"{day}T11:59:58.123Z",
        "payloadFormat": "JSON_API_V1",
        **more,
    }


def message(day: str, given: dict[str, str], payload: Any) -> dict[str, Any]:
    """Returns what Pub/Sub pushes."""
    return {
        "message": {
            "attributes": given,
            "data": _encoded(payload) if payload is not None else "",
            "messageId": "7",
            "publishTime": f"{day}T11:59:59Z",
        },
        "subscription": "projects/p/subscriptions/s",
    }


def forms(day: str) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Returns all of them, by name."""
    told, structured, given = resource(day), envelope(day), attributes(day)
    context = {"eventId": "7", "timestamp": f"{day}T11:59:59Z"}
    parts = {"ce-type": TYPE, "ce-source": SOURCE, "ce-id": "7", "content-type": "application/json"}
    published = "google.cloud.pubsub.topic.v1.messagePublished"
    return {
        "Eventarc, binary": (headers(day), told),
        "CloudEvent, structured": ({"Content-Type": "application/cloudevents+json"}, {**structured, "data": told}),
        "CloudEvent, structured, base64": ({}, {**structured, "data_base64": _encoded(told)}),
        "Pub/Sub push": ({"Content-Type": "application/json"}, message(day, given, told)),
        "Pub/Sub push without payload": ({}, message(day, {**given, "payloadFormat": "NONE"}, None)),
        "Pub/Sub push, unwrapped": (
            {"X-Goog-Pubsub-Message-Id": "7", "X-Goog-Pubsub-EventType": "OBJECT_FINALIZE"},
            told,
        ),
        "Pub/Sub by Eventarc": (headers(day, **{"Ce-Type": published, "Ce-Id": "8"}), message(day, given, told)),
        "a CloudEvent in a message": ({}, message(day, {}, {**structured, "data": told})),
        "a CloudEvent in a message, binary": ({}, message(day, parts, told)),
        "background function": (
            {},
            {"context": {**context, "eventType": "google.storage.object.finalize", "resource": {}}, "data": told},
        ),
        "background function of Pub/Sub": (
            {},
            {
                "context": {**context, "eventType": "google.pubsub.topic.publish"},
                "data": {"attributes": given, "data": _encoded(told)},
            },
        ),
    }


def _encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()
