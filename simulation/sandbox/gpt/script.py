"""What the stand-ins of a model's service and of an account's tools are told to do."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from schemas.settings.types import Id, SettingsModel


def _some(turns: tuple[object, ...]) -> tuple[object, ...]:
    if not turns:
        raise ValueError("must not be empty")
    return turns


Fault = Literal["fail", "hang", "cut", "garbage", "empty", "filter", "length", "no_usage", "leak"]
"""fail: HTTP `status`. hang: no answer. cut: the connection is dropped. garbage: no JSON. empty: no choice.

filter: nothing, by the service's filter. length: the text breaks off. no_usage: no word of the tokens. leak: what the
model was instructed with.
"""


class Called(SettingsModel):
    """A tool that the model calls, be there such a tool or not. arguments: a text: as it is, broken JSON too."""

    name: str
    arguments: dict[str, JsonValue] | str = {}


class GptTurn(SettingsModel):
    """What the model says at one call, or does in place of it.

    retry_after: that header. slow_s: seconds until it answers.
    """

    text: str | None = None
    calls: tuple[Called, ...] = ()
    does: Fault | None = None
    status: Annotated[int, Field(ge=400, le=599)] = 503
    code: str | None = None
    retry_after: str | None = None
    slow_s: Annotated[float, Field(ge=0, le=600)] = 0.0


class GptScript(SettingsModel):
    """What the model does, call by call; the last turn is for all further ones.

    It is for the calls of an agent, of a model, of customers whose last words hold `when`; left out: of all. Of several
    scripts the one that says most of it counts. One for the same calls replaces the one before.
    """

    agent: Id | None = None
    model: str | None = None
    when: str | None = None
    turns: Annotated[tuple[GptTurn, ...], AfterValidator(_some)]

    @property
    def place(self) -> tuple[str | None, str | None, str | None]:
        """Which calls it is for."""
        return self.agent, self.model, self.when


class ToolTurn(SettingsModel):
    """What a tool answers: JSON, or a text.

    does: hang, cut: nothing was carried out; lose: it was, and the answer is lost; redirect: elsewhere; binary; huge.
    """

    json_: JsonValue = Field(default=None, alias="json")
    text: str | None = None
    status: Annotated[int, Field(ge=200, le=599)] = 200
    does: Literal["hang", "cut", "lose", "redirect", "binary", "huge"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.json_ is not None and self.text is not None:
            raise ValueError("must be one of json and text")
        return self


class ToolScript(SettingsModel):
    """What an agent's tool answers, call by call; the last turn is for all further ones."""

    agent: Id
    tool: str
    turns: Annotated[tuple[ToolTurn, ...], AfterValidator(_some)]
