"""What is sent to a trigger, as an `Event`: the forms of Cloud Storage, Pub/Sub, Eventarc and Cloud Scheduler.

Protocols:
    CloudEvents 1.0 over HTTP, binary and structured: https://github.com/cloudevents/spec (v1.0.2, HTTP binding)
    Pub/Sub push, wrapped and unwrapped: https://cloud.google.com/pubsub/docs/push
    Cloud Storage's notifications: https://cloud.google.com/storage/docs/pubsub-notifications
    Eventarc: https://cloud.google.com/eventarc/docs/event-types
    Background functions: https://cloud.google.com/functions/docs/writing/write-event-driven-functions
"""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.triggers.model import Event, Kind

COMPLETED = "dev.pipeyard.run.completed"
SCHEDULED = "dev.pipeyard.schedule"
TICK = "dev.pipeyard.tick"
_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
_AUDITED = "google.cloud.audit.log.v1.written"
_CREATED = "storage.objects.create"
_NEW, _GONE, _OTHER = "new", "gone", "other"
# What Cloud Storage calls what happened to an object: in Pub/Sub's attributes, in Eventarc's types, in those of
# background functions. Whether an object was overwritten is told by one that is new.
_HAPPENINGS = {
    "OBJECT_FINALIZE": _NEW,
    "OBJECT_DELETE": _GONE,
    "OBJECT_ARCHIVE": _GONE,
    "OBJECT_METADATA_UPDATE": _OTHER,
    "google.cloud.storage.object.v1.finalized": _NEW,
    "google.cloud.storage.object.v1.deleted": _GONE,
    "google.cloud.storage.object.v1.archived": _GONE,
    "google.cloud.storage.object.v1.metadataUpdated": _OTHER,
    "google.storage.object.finalize": _NEW,
    "google.storage.object.delete": _GONE,
    "google.storage.object.archive": _GONE,
    "google.storage.object.metadataUpdate": _OTHER,
}
_RESOURCE = "storage#object"
_REMEDY = "Send what Cloud Storage, Pub/Sub, Eventarc or Cloud Scheduler send; see docs/triggers.md."


class Unreadable(PipeyardError):
    """It is no event that a trigger knows: telling it again won't help."""


class Ignored(Exception):
    """It is an event, of something that starts no run."""


def parse(headers: Mapping[str, str], body: bytes, now: datetime) -> Event:
    """Returns what a request tells of.

    Args:
        headers: of the request; their case doesn't count.
        now: the time of events that tell none.

    Raises:
        Ignored: it tells of something that starts no run.
        Unreadable: it is of no form that is known.
    """
    named = {name.lower(): value for name, value in headers.items()}
    kind = named.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/cloudevents-batch+json":
        raise Unreadable("It is a batch of CloudEvents. Send one a request.")
    if "ce-type" in named:
        about = {name.removeprefix("ce-"): value for name, value in named.items() if name.startswith("ce-")}
        return _cloud_event(about, _json(body) if body else {}, named, now)
    content = _json(body)
    if not isinstance(content, dict):
        raise Unreadable(f"It is {type(content).__name__}, no JSON object. {_REMEDY}")
    if "specversion" in content or kind == "application/cloudevents+json":
        return _cloud_event(content, _data(content), named, now)
    if isinstance(content.get("message"), dict):
        return _published(content["message"], now)
    if isinstance(content.get("context"), dict) or "eventId" in content:  # a background function's, two ages of it
        context = content.get("context", content)
        kind = str(context.get("eventType", ""))
        if kind.endswith("pubsub.topic.publish"):
            message = {"messageId": context.get("eventId"), "publishTime": context.get("timestamp")}
            return _published({**message, **content.get("data", {})}, now)
        return _stored(kind, content.get("data"), context.get("eventId"), context.get("timestamp"), now)
    if content.get("kind") == _RESOURCE:  # a payload that push unwrapped: its attributes are headers, if they are told
        prefix = "x-goog-pubsub-"
        happening = named.get(f"{prefix}eventtype") or named.get("eventtype") or "OBJECT_FINALIZE"
        return _stored(happening, content, named.get(f"{prefix}message-id"), None, now)
    raise Unreadable(f"It has {', '.join(sorted(map(str, content))) or 'nothing'}, as no event has. {_REMEDY}")


def _cloud_event(about: Mapping[str, Any], data: Any, headers: Mapping[str, str], now: datetime) -> Event:
    kind = str(about.get("type", ""))
    identity = "|".join(str(about[key]) for key in ("source", "id") if about.get(key))
    if kind in _HAPPENINGS:
        return _stored(kind, data, identity, about.get("time"), now)
    if kind == _PUBLISHED:
        if not isinstance(data, dict) or not isinstance(data.get("message"), dict):
            raise Unreadable(f"It is a {kind} without a message. {_REMEDY}")
        return _published(data["message"], now)
    if kind == _AUDITED:
        return _audited(data, identity, about.get("time"), now)
    if kind == TICK:
        return Event(kind=Kind.TICK, time=now, id=identity)
    if kind == SCHEDULED:
        return _scheduled(data, about, headers, now)
    if kind == COMPLETED:
        return _completed(data, identity, about.get("time"), now)
    known = [*_HAPPENINGS, _PUBLISHED, _AUDITED, TICK, SCHEDULED, COMPLETED]
    raise Unreadable(f"Its type is {kind!r}. {near_misses(kind, known)}")


def _published(message: Mapping[str, Any], now: datetime) -> Event:
    """A message of Pub/Sub: a notification of Cloud Storage, or a CloudEvent that was published."""
    attributes = {str(name): str(value) for name, value in (message.get("attributes") or {}).items()}
    identity = message.get("messageId") or message.get("message_id")
    published = message.get("publishTime") or message.get("publish_time")
    payload = _decoded(message.get("data"))
    if "eventType" in attributes:
        # The payload is the object's resource, or nothing where the notification is made so; attributes have the rest.
        resource = _json(payload) if payload else {}
        if not isinstance(resource, dict):
            raise Unreadable(f"Its payload is {type(resource).__name__}, no object's resource. {_REMEDY}")
        resource.setdefault("bucket", attributes.get("bucketId"))
        resource.setdefault("name", attributes.get("objectId"))
        resource.setdefault("generation", attributes.get("objectGeneration"))
        return _stored(attributes["eventType"], resource, identity, attributes.get("eventTime") or published, now)
    if "ce-type" in attributes:
        about = {name.removeprefix("ce-"): value for name, value in attributes.items() if name.startswith("ce-")}
        return _cloud_event(about, _json(payload) if payload else {}, attributes, now)
    content = _json(payload) if payload else {}
    if isinstance(content, dict) and "specversion" in content:
        return _cloud_event(content, _data(content), attributes, now)
    if isinstance(content, dict) and content.get("kind") == _RESOURCE:
        return _stored("OBJECT_FINALIZE", content, identity, published, now)
    names = ", ".join(sorted(attributes)) or "none"
    raise Unreadable(f"It is a message of Pub/Sub that is no notification (its attributes: {names}). {_REMEDY}")


def _stored(happening: str, resource: Any, identity: Any, told: Any, now: datetime) -> Event:
    if happening not in _HAPPENINGS:
        raise Unreadable(f"Cloud Storage has no event {happening!r}. {near_misses(happening, _HAPPENINGS)}")
    if _HAPPENINGS[happening] == _OTHER:
        raise Ignored(f"{happening}: the object's content is as it was")
    if not isinstance(resource, dict) or not resource.get("bucket") or not resource.get("name"):
        raise Unreadable(f"It is a {happening} without a bucket and a name. {_REMEDY}")
    bucket, name = str(resource["bucket"]), str(resource["name"])
    if name.endswith("/"):
        raise Ignored(f"gs://{bucket}/{name} stands for a folder")
    generation = _whole(resource.get("generation"))
    uri = f"gs://{bucket}/{name}"
    gone = _HAPPENINGS[happening] == _GONE
    # A version's time is when it was made; of one that is gone it doesn't count.
    when = told if gone else resource.get("timeCreated") or resource.get("updated") or told
    time = _time(when, now)
    return Event(
        id=str(identity or ""),
        kind=Kind.REMOVAL if gone else Kind.OBJECT,
        subject=f"{uri}#{generation or time.isoformat()}",
        uri=uri,
        time=time,
        generation=generation,
        attributes={"bucket": bucket, "name": name},
    )


def _audited(data: Any, identity: str, told: Any, now: datetime) -> Event:
    """An entry of the audit log, which knows no generation."""
    payload = data.get("protoPayload", {}) if isinstance(data, dict) else {}
    if payload.get("methodName") != _CREATED:
        raise Ignored(f"audit log: {payload.get('methodName')} makes no object")
    parts = str(payload.get("resourceName", "")).split("/", 5)
    if len(parts) != 6 or (parts[2], parts[4]) != ("buckets", "objects"):
        raise Unreadable(f"The audit log tells of {payload.get('resourceName')!r}, which is no object. {_REMEDY}")
    resource = {"bucket": parts[3], "name": parts[5]}
    return _stored("OBJECT_FINALIZE", resource, data.get("insertId") or identity, told, now)


def _scheduled(data: Any, about: Mapping[str, Any], headers: Mapping[str, str], now: datetime) -> Event:
    """A job of Cloud Scheduler, whose headers never change but for when it was due: the same when it tries again."""
    pipeline = str((data or {}).get("pipeline", "")) if isinstance(data, dict) else ""
    if not pipeline:
        raise Unreadable('A schedule\'s data is {"pipeline": NAME}. `pipeyard trigger scheduler` writes the job.')
    due = headers.get("x-cloudscheduler-scheduletime") or about.get("time")
    when = _time(due, now)
    return Event(
        kind=Kind.SCHEDULE,
        subject=f"schedule {pipeline} {when:%Y-%m-%dT%H:%M:%SZ}",
        time=when,
        detail=f"scheduled for {when:%Y-%m-%d %H:%M:%S} UTC",
        attributes={"pipeline": pipeline},
    )


def _completed(data: Any, identity: str, told: Any, now: datetime) -> Event:
    needed = ("pipeline", "environment", "run", "state")
    if not isinstance(data, dict) or any(not isinstance(data.get(name), str) for name in needed):
        raise Unreadable(f"A {COMPLETED}'s data has {', '.join(needed)}, all texts. {_REMEDY}")
    if data["state"] != "SUCCEEDED":
        raise Ignored(f"run {data['run']} of {data['pipeline']} ended as {data['state']}")
    ended = _time(data.get("ended_at") or told, now)
    return completion(data["pipeline"], data["environment"], data["run"], ended, identity)


def completion(pipeline: str, environment: str, run: str, ended: datetime, identity: str = "") -> Event:
    """Returns the event of a run that ended well."""
    return Event(
        id=identity,
        kind=Kind.COMPLETION,
        subject=f"run {environment} {run}",
        time=ended,
        detail=f"run {run} of {pipeline} in {environment} succeeded",
        attributes={"pipeline": pipeline, "environment": environment, "run": run},
    )


def _data(envelope: Mapping[str, Any]) -> Any:
    return _json(_decoded(envelope["data_base64"])) if "data_base64" in envelope else envelope.get("data", {})


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise Unreadable(f"Its data isn't base64: {error}. {_REMEDY}") from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise Unreadable(f"It isn't JSON: {error}. {_REMEDY}") from error


def _whole(value: Any) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"Its generation is {value!r}, no whole number. {_REMEDY}") from error


def _time(value: Any, now: datetime) -> datetime:
    if not value:
        return now
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise Unreadable(f"Its time is {value!r}, which isn't RFC 3339. {_REMEDY}") from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
