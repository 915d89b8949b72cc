"""Calls to the outside that stages request, and their results."""

from datetime import datetime
from typing import ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator

from schemas.events.content import Attachment, Outgoing
from schemas.events.conversation import Media
from schemas.events.template import Template, file_of

Via = Literal["session", "template"]
SendAnswer = Literal["accepted", "refused", "credentials", "retry", "template_unavailable", "window_closed"]
Throttled = Literal["recipient", "number"]
TRANSFER_S: Final = 60.0
"""Seconds that a file may take from or to a provider."""
MAX_ANSWER = 64 << 10
"""Characters of an AI agent's answer: it goes in as many messages as it needs."""


class EffectRequest(BaseModel):
    """Base: one attempt of a call to the outside. A type of request has one performer.

    effect_id: unique to the attempt. awaited: False: nobody waits for its end, which is no record; a crash loses the
    call, and others may be in flight.
    """

    model_config = ConfigDict(frozen=True)

    awaited: ClassVar[bool] = True

    effect_id: str

    @property
    def ends_within_s(self) -> float:
        """Seconds that the call may take; after them its outcome is unknown."""
        return 10.0


class SendRequest(EffectRequest):
    """Send one message, once.

    message_id: the same for each attempt. conversation: its key. contact: a number's digits or a user id. Either text,
    other content or both (via session), or template (via template). check_template: look first whether the template is
    approved, and send nothing if not. not_after: from then on the text must not be sent: the session window is over.
    no_marketing: look first whether the template is marketing, and send nothing if it is.
    media_id: the provider's, of the file, once the sender has uploaded it.
    """

    message_id: str
    conversation: str
    channel: str
    contact: str
    kind: str
    via: Via
    text: str | None = None
    template: Template | None = None
    content: Outgoing | None = None
    media_id: str | None = None
    check_template: bool = False
    not_after: datetime | None = None
    repeat: bool = False
    no_marketing: bool = False

    @property
    def attachment(self) -> Attachment | None:
        """The file that it sends: its content's, or its template's."""
        return file_of(self.content, self.template)

    @property
    def ends_within_s(self) -> float:
        """Longer where a file may have to be uploaded first."""
        file = self.attachment
        return super().ends_within_s if file is None or file.file is None else TRANSFER_S


class SendResult(BaseModel):
    """How an attempt ended.

    accepted: provider_message_id is there. refused: for good. credentials: those of the channel are broken. retry:
    surely not sent, later it may be; after retry_after_s seconds where the provider says so. template_unavailable:
    not approved, or nobody could say. window_closed: it was too late for the text, which was not sent: by our clock or
    by the provider's word. throttled: why to retry: more than this recipient may be sent, or the number or account may
    send. code: the provider's, 0 for none; http_status: 0 where there was no answer.
    """

    model_config = ConfigDict(frozen=True)

    answer: SendAnswer
    provider_message_id: str | None = None
    code: int = 0
    message: str = ""
    throttled: Throttled | None = None
    retry_after_s: float | None = None
    http_status: int = 0


class SettleRequest(EffectRequest):
    """Ask the provider whether it took a message whose send ended unknown.

    text: None where what was sent is not known word for word: a template. since: when the message was commanded.
    known: the provider's ids of other messages that the contact was sent since.
    """

    message_id: str
    channel: str
    contact: str
    text: str | None = None
    since: datetime
    known: tuple[str, ...] = ()


class SettleResult(BaseModel):
    """What it says. taken: provider_message_id is there. absent: it surely did not take it. unclear: who knows."""

    model_config = ConfigDict(frozen=True)

    answer: Literal["taken", "absent", "unclear"]
    provider_message_id: str | None = None


class FoundMessage(BaseModel):
    """A customer's message on the provider's list. body: what its callback would have held.

    files: how many it has that the body does not name yet.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    body: str
    files: int = 0


class ListRequest(EffectRequest):
    """List customers' messages to the channel's number, once: one page of those sent from since to until.

    cursor: of a page after the first. message: in place of a page, name the files of this one.
    """

    channel: str
    since: datetime
    until: datetime
    cursor: str | None = None
    message: FoundMessage | None = None


class ListResult(BaseModel):
    """What is on the page, or the message whose files are named now. next: the cursor of the page after it."""

    model_config = ConfigDict(frozen=True)

    answer: Literal["listed", "unreadable"]
    messages: tuple[FoundMessage, ...] = ()
    next: str | None = None


class SignalRequest(EffectRequest):
    """Show the customer that a message was read, and with typing that an answer is being written. A courtesy.

    provider_message_id: of the customer's latest message; those before it count as read, too.
    """

    awaited: ClassVar[bool] = False

    channel: str
    provider_message_id: str
    typing: bool = False

    @property
    def ends_within_s(self) -> float:
        """Nobody waits for it."""
        return 5.0


class AiMessage(BaseModel):
    """The customer's message. kind: text, image, …; text: None where it has no text."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    text: str | None = None


class AiQuestion(BaseModel):
    """Body of POST /v1/answers. request_id: the same whenever the same question is asked again."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    conversation: str
    channel: str
    agent: str
    message: AiMessage


class AiRequest(EffectRequest):
    """Ask the AI agent once."""

    question: AiQuestion


class AiResult(BaseModel):
    """What it says, the body of its answer: text, handoff (a human is to take over), or error (it can't answer).

    text: of a text only, so not blank; what is too long for one message is sent in parts.
    """

    model_config = ConfigDict(frozen=True)

    answer: Literal["text", "handoff", "error"]
    text: str | None = None

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        text = (self.text or "") if self.answer == "text" else "unused"
        if not text.strip():
            raise ValueError("text: is missing")
        if len(text) > MAX_ANSWER:
            raise ValueError(f"text: more than {MAX_ANSWER} characters")
        return self


class KnowledgeRequest(EffectRequest):
    """Find the passages that may answer a question, among the documents of a GPT agent of the channel."""

    channel: str
    agent: str
    query: str


class Passage(BaseModel):
    """A part of a document. id: `{collection}/{document}/{number}`."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    text: str


class KnowledgeResult(BaseModel):
    """What was found, the best first."""

    model_config = ConfigDict(frozen=True)

    passages: tuple[Passage, ...] = ()


class GptRequest(EffectRequest):
    """Call a GPT agent's model once.

    call_id: the same for each attempt at the same call. messages, tools: as POST /v1/chat/completions takes them.
    timeout_s: the agent's.
    """

    call_id: str
    channel: str
    agent: str
    messages: tuple[dict[str, JsonValue], ...]
    tools: tuple[dict[str, JsonValue], ...] = ()
    timeout_s: int = 60

    @property
    def ends_within_s(self) -> float:
        """A little longer than the call, so that a log line says why it ended."""
        return self.timeout_s + 5.0


class GptCall(BaseModel):
    """A tool that the model wants to be called. arguments: JSON, as the model wrote it: it may be broken."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    arguments: str


class GptResult(BaseModel):
    """How an attempt ended.

    answered: text or calls, or neither: it said nothing. later: asking again may help; after retry_after_s seconds
    where the service says so. failed: for good. budget: the day's is used up, nobody was asked. finish: the service's
    finish_reason. cost_micros: millionths of the prices' currency.
    """

    model_config = ConfigDict(frozen=True)

    answer: Literal["answered", "later", "failed", "budget"]
    text: str | None = None
    calls: tuple[GptCall, ...] = ()
    finish: str | None = None
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0
    took_ms: int = 0
    retry_after_s: float | None = None


class ToolRequest(EffectRequest):
    """Call a tool of the account. call_id: Idempotency-Key: the same whenever the same call is made again."""

    call_id: str
    channel: str
    agent: str
    tool: str
    arguments: dict[str, JsonValue]
    timeout_s: int = 10

    @property
    def ends_within_s(self) -> float:
        """A little longer than the call."""
        return self.timeout_s + 2.0


class ToolResult(BaseModel):
    """How a tool's call ended. done: text is its answer, cut. refused: it was not made, or answered with an error."""

    model_config = ConfigDict(frozen=True)

    answer: Literal["done", "refused"]
    status: int = 0
    text: str = ""
    took_ms: int = 0


MediaAnswer = Literal["stored", "missing", "later", "refused"]


class MediaRequest(EffectRequest):
    """Fetch one file of a customer's message, once. index: which of the message's files, from 0."""

    channel: str
    message_id: str
    index: int
    media: Media

    @property
    def ends_within_s(self) -> float:
        """A file takes longer than a message."""
        return TRANSFER_S


class MediaResult(BaseModel):
    """How an attempt ended.

    stored: it is in the media store: file, mime_type, size, sha256 (hex) and preview are there. missing: it is not
    there, or not whole: it may be a moment later. later: nothing can be said of it now. refused: for good. reason:
    as in conversation.media_failed.
    """

    model_config = ConfigDict(frozen=True)

    answer: MediaAnswer
    reason: str = ""
    file: str = ""
    mime_type: str = ""
    size: int = 0
    sha256: str = ""
    preview: str | None = None
