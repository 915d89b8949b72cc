"""What delivery asks a provider's client to do, and what the client answers."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.events.conversation import Template

Via = Literal["session", "template"]


class SendRequest(BaseModel):
    """Send one message, once.

    effect_id: unique to the attempt; message_id is the same for each. conversation: its key. Either text (via session)
    or template (via template). check_template: look first whether the template is approved, and send nothing if not.
    not_after: from then on the text must not be sent: the session window is over.
    """

    model_config = ConfigDict(frozen=True)

    effect_id: str
    message_id: str
    conversation: str
    channel: str
    contact: str
    kind: str
    via: Via
    text: str | None = None
    template: Template | None = None
    check_template: bool = False
    not_after: datetime | None = None
    repeat: bool = False


class SendResult(BaseModel):
    """How an attempt ended.

    accepted: provider_message_id is there. refused: for good. credentials: those of the channel are broken. retry:
    surely not sent, later it may be; after retry_after_s seconds where the provider says so. template_unavailable:
    not approved, or nobody could say. window_closed: it was too late for the text, which was not sent. code: the
    provider's, 0 for none; http_status: 0 where there was no answer.
    """

    model_config = ConfigDict(frozen=True)

    answer: Literal["accepted", "refused", "credentials", "retry", "template_unavailable", "window_closed"]
    provider_message_id: str | None = None
    code: int = 0
    message: str = ""
    retry_after_s: float | None = None
    http_status: int = 0
