"""What is sent to a trigger, as an `Event`: the forms of Cloud Storage, Pub/Sub, Eventarc and Cloud Scheduler.

Protocols:
    CloudEvents 1.0 over HTTP, binary and structured: https://github.com/cloudevents/spec (v1.0.2, HTTP binding)
    Pub/Sub push, wrapped and unwrapped: https://cloud.google.com/pubsub/docs/push
    Cloud Storage's notifications: https://cloud.google.com/storage/docs/pubsub-notifications
    Eventarc: https://cloud.google.com/eventarc/docs/event-types
    Background functions: https://cloud.google.com/functions/docs/writing/write-event-driven-functions

Without the library cloudevents: it reads only the first of these, takes bodies of any size and depth, and leaves
attributes untyped; what it would replace is `_attributes` and `_structured`.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.system import jsons
from pipeyard.triggers.domain import Event, EventKind
from pipeyard.triggers.envelopes import Audited, CloudEvent, Completed, Context, Message, Resource, Scheduled
from pipeyard_components import bounds

COMPLETED = "dev.pipeyard.run.completed"
SCHEDULED = "dev.pipeyard.schedule"
TICK = "dev.pipeyard.tick"
_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
_AUDITED = "google.cloud.audit.log.v1.written"
_CREATED = "storage.objects.create"
_NEW, _GONE, _OTHER = "new", "gone", "other"
# What Cloud Storage calls what happened to an object: in Pub/Sub's attributes, in Eventarc's types, in those of
# background functions. The notification of the new object stands for an overwritten one.
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
# Bytes of a request's body, and how deep it may be nested. A notification has a few KiB; Eventarc passes on 512.
LARGEST = 1024 * 1024
DEEPEST = 32
_ABOVE_GENERATIONS = 2**63
# What messages repeat of what was sent: characters of a text, and names.
_SHOWN, _NAMES = 80, 8
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
        Unreadable: its form is unknown, or it is past a bound.
    """
    try:
        return _parse({name.lower(): value for name, value in headers.items()}, body, now)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(_short(str(part)) for part in first["loc"])
        raise Unreadable(f"Its {place or 'content'} doesn't fit: {first['msg']}. {_REMEDY}") from error


def _parse(named: Mapping[str, str], body: bytes, now: datetime) -> Event:
    kind = named.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/cloudevents-batch+json":
        raise Unreadable("It is a batch of CloudEvents. Send one a request.")
    if "ce-type" in named:
        return _cloud_event(_attributes(named), _json(body) if body else {}, named, now)
    content = _json(body)
    if not isinstance(content, dict):
        raise Unreadable(f"It is {type(content).__name__}, no JSON object. {_REMEDY}")
    if "specversion" in content or kind == "application/cloudevents+json":
        return _structured(content, named, now)
    if isinstance(content.get("message"), dict):
        return _published(Message.model_validate(content["message"]), now)
    context = content.get("context")
    if isinstance(context, dict) or "eventId" in content:  # a background function's, two ages of it
        told = Context.model_validate(context if isinstance(context, dict) else content)
        if told.event_type.endswith("pubsub.topic.publish"):
            message = Message.model_validate(content.get("data"))
            about = {"id": message.id or told.event_id, "published": message.published or told.timestamp}
            return _published(message.model_copy(update=about), now)
        return _stored(told.event_type, content.get("data"), told.event_id, told.timestamp, now)
    if content.get("kind") == _RESOURCE:  # a payload that push unwrapped: its attributes are headers, if they are told
        prefix = "x-goog-pubsub-"
        happening = named.get(f"{prefix}eventtype") or named.get("eventtype") or "OBJECT_FINALIZE"
        return _stored(happening, content, named.get(f"{prefix}message-id", ""), "", now)
    raise Unreadable(f"It has {_few(content) or 'nothing'}, as no event has. {_REMEDY}")


def _attributes(named: Mapping[str, str]) -> CloudEvent:
    """Returns the attributes of a binary CloudEvent: of a request's headers, or of a message of Pub/Sub."""
    prefix = "ce-"
    return CloudEvent.model_validate(
        {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
    )


def _structured(content: Mapping[str, Any], named: Mapping[str, str], now: datetime) -> Event:
    told = CloudEvent.model_validate(content)
    data = told.data if told.data_base64 is None else _json(_decoded(told.data_base64))
    return _cloud_event(told, data, named, now)


def _cloud_event(about: CloudEvent, data: Any, headers: Mapping[str, str], now: datetime) -> Event:
    # One without an id isn't known again by its source alone, which the next has, too.
    identity = "|".join(filter(None, (about.source, about.id))) if about.id else ""
    if about.type in _HAPPENINGS:
        return _stored(about.type, data, identity, about.time, now)
    if about.type == _PUBLISHED:
        if not isinstance(data, dict) or not isinstance(data.get("message"), dict):
            raise Unreadable(f"It is a {about.type} without a message. {_REMEDY}")
        return _published(Message.model_validate(data["message"]), now)
    if about.type == _AUDITED:
        return _audited(Audited.model_validate(data), identity, about.time, now)
    if about.type == TICK:
        return Event(kind=EventKind.TICK, time=now, id=identity)
    if about.type == SCHEDULED:
        return _scheduled(data, about, headers, now)
    if about.type == COMPLETED:
        return _completed(data, identity, about.time, now)
    known = [*_HAPPENINGS, _PUBLISHED, _AUDITED, TICK, SCHEDULED, COMPLETED]
    raise Unreadable(f"Its type is {_short(about.type)!r}. {near_misses(about.type, known)}")


def _published(message: Message, now: datetime) -> Event:
    """A message of Pub/Sub: a notification of Cloud Storage, or a CloudEvent that was published."""
    given, payload = message.attributes, _decoded(message.data)
    if "eventType" in given:
        # The payload is the object's resource, or nothing where the notification is made so; attributes have the rest.
        resource = _json(payload) if payload else {}
        if not isinstance(resource, dict):
            raise Unreadable(f"Its payload is {type(resource).__name__}, not an object's resource. {_REMEDY}")
        told = {"bucket": "bucketId", "name": "objectId", "generation": "objectGeneration"}
        absent = {name: given.get(attribute) for name, attribute in told.items() if resource.get(name) is None}
        return _stored(
            given["eventType"], {**resource, **absent}, message.id, given.get("eventTime") or message.published, now
        )
    if "ce-type" in given:
        return _cloud_event(_attributes(given), _json(payload) if payload else {}, given, now)
    content = _json(payload) if payload else {}
    if isinstance(content, dict) and "specversion" in content:
        return _structured(content, given, now)
    if isinstance(content, dict) and content.get("kind") == _RESOURCE:
        return _stored("OBJECT_FINALIZE", content, message.id, message.published, now)
    names = _few(given) or "none"
    raise Unreadable(f"It is a message of Pub/Sub that is no notification (its attributes: {names}). {_REMEDY}")


def _stored(happening: str, given: Any, identity: str, told: str, now: datetime) -> Event:
    if happening not in _HAPPENINGS:
        raise Unreadable(f"Cloud Storage has no event {_short(happening)!r}. {near_misses(happening, _HAPPENINGS)}")
    if _HAPPENINGS[happening] == _OTHER:
        raise Ignored(f"{happening}: the object's content is as it was")
    resource = Resource.model_validate(given)
    bucket, name = resource.bucket, resource.name
    if not bucket or not name:
        raise Unreadable(f"It is a {happening} without a bucket and a name. {_REMEDY}")
    if name.endswith("/"):
        raise Ignored(f"gs://{bucket}/{name} stands for a folder")
    generation = _whole(resource.generation)
    uri = f"gs://{bucket}/{name}"
    gone = _HAPPENINGS[happening] == _GONE
    # A version's time is when it was made; of one that is gone it doesn't count.
    time = _time(told if gone else resource.created or resource.updated or told, now)
    return Event(
        id=identity,
        kind=EventKind.REMOVAL if gone else EventKind.OBJECT,
        subject=f"{uri}#{generation or time.isoformat()}",
        uri=uri,
        time=time,
        generation=generation,
        attributes={"bucket": bucket, "name": name},
    )


def _audited(entry: Audited, identity: str, told: str, now: datetime) -> Event:
    """An entry of the audit log, which knows no generation."""
    method, resource = entry.payload.method, entry.payload.resource
    if method != _CREATED:
        raise Ignored(f"audit log: {method} makes no object")
    parts = resource.split("/", 5)
    if len(parts) != 6 or (parts[2], parts[4]) != ("buckets", "objects"):
        raise Unreadable(f"The audit log tells of {_short(resource)!r}, which is no object. {_REMEDY}")
    return _stored("OBJECT_FINALIZE", {"bucket": parts[3], "name": parts[5]}, entry.id or identity, told, now)


def _scheduled(data: Any, about: CloudEvent, headers: Mapping[str, str], now: datetime) -> Event:
    """A job of Cloud Scheduler, whose headers never change but for when it was due: the same when it tries again."""
    pipeline = Scheduled.model_validate(data).pipeline if isinstance(data, dict) else ""
    if not pipeline:
        raise Unreadable('A schedule\'s data is {"pipeline": NAME}. `pipeyard trigger scheduler` writes the job.')
    when = _time(headers.get("x-cloudscheduler-scheduletime") or about.time, now)
    return Event(
        kind=EventKind.SCHEDULE,
        subject=f"schedule {pipeline} {when:%Y-%m-%dT%H:%M:%SZ}",
        time=when,
        detail=f"scheduled for {when:%Y-%m-%d %H:%M:%S} UTC",
        attributes={"pipeline": pipeline},
    )


def _completed(data: Any, identity: str, told: str, now: datetime) -> Event:
    try:
        run = Completed.model_validate(data)
    except ValidationError as error:
        needed = ", ".join(name for name, field in Completed.model_fields.items() if field.is_required())
        raise Unreadable(f"A {COMPLETED}'s data has {needed}, all texts. {_REMEDY}") from error
    if run.state != "SUCCEEDED":
        raise Ignored(f"run {run.run} of {run.pipeline} ended as {run.state}")
    return completion(run.pipeline, run.environment, run.run, _time(run.ended or told, now), identity)


def completion(pipeline: str, environment: str, run: str, ended: datetime, identity: str = "") -> Event:
    """Returns the event of a run that ended well."""
    return Event(
        id=identity,
        kind=EventKind.COMPLETION,
        subject=f"run {environment} {run}",
        time=ended,
        detail=f"run {run} of {pipeline} in {environment} succeeded",
        attributes={"pipeline": pipeline, "environment": environment, "run": run},
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"Its data isn't base64: {error}. {_REMEDY}") from error


def _json(content: bytes) -> Any:
    try:
        return jsons.load(content, LARGEST, DEEPEST, _refuse)
    except bounds.TooMuch as error:
        raise Unreadable(f"It is past what an event may have: {error}. {_REMEDY}") from error
    except ValueError as error:
        raise Unreadable(f"It isn't JSON: {error}. {_REMEDY}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _whole(text: str) -> int:
    try:
        number = int(text or 0)
    except ValueError:
        number = -1
    if not 0 <= number < _ABOVE_GENERATIONS:
        raise Unreadable(f"Its generation is {_short(text)!r}, no whole number of 64 bits. {_REMEDY}")
    return number


def _time(text: str, now: datetime) -> datetime:
    if not text:
        return now
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the latter of 9999-12-31T23:59-01:00
        raise Unreadable(f"Its time is {_short(text)!r}, which isn't RFC 3339. {_REMEDY}") from error


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _few(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(map(_short, shown[:_NAMES])) + (f" and {len(shown) - _NAMES} more" if len(shown) > _NAMES else "")
