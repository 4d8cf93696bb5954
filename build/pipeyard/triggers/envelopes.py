"""What Google's services wrap an event in, typed: anything else is refused here.

Numbers are taken for text where text is wanted, and null for what isn't there, as senders differ in both. Texts are
Unicode (JSON's escapes can spell halves of surrogate pairs, which no UTF-8 has) and as long as Google allows at most.
"""

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, model_validator

# Cloud Storage's names of objects have 1,024 bytes at most, Pub/Sub's attributes as much.
_LONGEST = 1024
Text = Annotated[str, StringConstraints(max_length=_LONGEST)]
# In base64; a request's body is bounded itself.
Data = Annotated[str, StringConstraints()]


class _Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: each for name, each in given.items() if each is not None} if isinstance(given, dict) else given


class CloudEvent(_Envelope):
    """A CloudEvent's attributes, and its data if it has it with it (https://github.com/cloudevents/spec, v1.0.2)."""

    type: Text = ""
    source: Text = ""
    id: Text = ""
    time: Text = ""
    data: Any = None
    data_base64: Data | None = None


class Message(_Envelope):
    """A message of Pub/Sub, as push and Eventarc wrap it."""

    attributes: dict[Text, Text] = Field(default_factory=dict)
    data: Data = ""
    id: Text = Field("", validation_alias=AliasChoices("messageId", "message_id"))
    published: Text = Field("", validation_alias=AliasChoices("publishTime", "publish_time"))


class Context(_Envelope):
    """What a background function gets beside the data."""

    event_type: Text = Field("", alias="eventType")
    event_id: Text = Field("", alias="eventId")
    timestamp: Text = ""


class Resource(_Envelope):
    """An object of Cloud Storage."""

    bucket: Text = ""
    name: Text = ""
    generation: Text = ""
    created: Text = Field("", alias="timeCreated")
    updated: Text = ""


class Audited(_Envelope):
    """An entry of the audit log."""

    class Payload(_Envelope):
        """What was called, on what."""

        method: Text = Field("", alias="methodName")
        resource: Annotated[str, StringConstraints(max_length=2 * _LONGEST)] = Field("", alias="resourceName")

    payload: Payload = Field(default_factory=Payload, alias="protoPayload")
    id: Text = Field("", alias="insertId")


class Scheduled(_Envelope):
    """The data of a job of Cloud Scheduler that is for a schedule."""

    pipeline: Text = ""


class Completed(_Envelope):
    """The data of a run's end."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=False)

    pipeline: Text
    environment: Text
    run: Text
    state: Text
    ended: Text = Field("", alias="ended_at")
