"""What every event, command and proposal is: a frozen model with a type name."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """Payload of a record. `type` is the CloudEvents type: past tense for events, imperative for commands."""

    # Unknown fields are ignored, so that a consumer survives a newer writer.
    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
