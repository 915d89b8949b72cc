"""What a reply may hold: taken as it is meant, refused by its field before anything is written."""

from typing import Any

import pytest

from desk.commands import ReplyRequest, parse_command
from schemas.events.content import (
    Attachment,
    Button,
    ContactCard,
    ListMenu,
    ListRow,
    Location,
    Outgoing,
    SentReaction,
)
from schemas.events.inbox import Reply
from schemas.events.template import Template, TemplateButton, TemplateHeader
from schemas.settings.errors import InvalidSettings

Json = dict[str, Any]

YES: Json = {"id": "b-1", "title": "Yes"}
ROW: Json = {"id": "r-1", "title": "Bills"}
CARD: Json = {"name": "Otto", "phones": ["+34655000009"]}
PLACE: Json = {"latitude": 40.4, "longitude": -3.7}
NAMED: Json = {"name": "n", "language": "es"}


def reply(**fields: Any) -> Reply:
    asked = parse_command({"type": "reply", "by": "irene", **fields})
    assert isinstance(asked, ReplyRequest)
    command = asked.command("c")
    assert isinstance(command, Reply)
    return command


def wrong(**fields: Any) -> list[str]:
    with pytest.raises(InvalidSettings) as refused:
        reply(**fields)
    return [error.field for error in refused.value.errors]


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({"text": "x"}, None),
        ({"text": "x", "quotes": "wamid.1"}, Outgoing(quotes="wamid.1")),
        ({"text": "x", "buttons": [YES]}, Outgoing(buttons=(Button(id="b-1", title="Yes"),))),
        (
            {"text": "x", "list": {"button": "See", "rows": [ROW]}, "quotes": "wamid.1"},
            Outgoing(list=ListMenu(button="See", rows=(ListRow(id="r-1", title="Bills"),)), quotes="wamid.1"),
        ),
        ({"text": "x", "contact_request": True}, Outgoing(contact_request=True)),
        ({"location": {**PLACE, "name": "Sol"}}, Outgoing(location=Location(**PLACE, name="Sol"))),
        ({"contacts": [CARD]}, Outgoing(contacts=(ContactCard(name="Otto", phones=("+34655000009",)),))),
        (
            {"reaction": {"message_id": "wamid.1", "emoji": ""}},
            Outgoing(reaction=SentReaction(message_id="wamid.1", emoji="")),
        ),
    ],
)
def test_a_content_is_taken(fields: Json, content: Outgoing | None) -> None:
    assert reply(**fields) == Reply(command_id="c", by="irene", text=fields.get("text"), content=content)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"text": "x" * 1025, "buttons": [YES]}, "text"),
        ({"buttons": [YES]}, "text"),
        ({"text": "x", "location": PLACE}, "text"),
        ({"text": "x", "buttons": [{**YES, "id": str(n)} for n in range(4)]}, "buttons"),
        ({"text": "x", "buttons": [YES, YES]}, "buttons"),
        ({"text": "x", "buttons": [{**YES, "title": "x" * 21}]}, "buttons[0].title"),
        ({"text": "x", "buttons": [{**YES, "id": "x" * 257}]}, "buttons[0].id"),
        ({"text": "x", "buttons": [{**YES, "id": " "}]}, "buttons[0].id"),
        ({"text": "x", "buttons": [YES], "location": PLACE}, "location"),
        ({"text": "x", "list": {"button": "See", "rows": []}}, "list.rows"),
        ({"text": "x", "list": {"button": "See", "rows": [{**ROW, "id": str(n)} for n in range(11)]}}, "list.rows"),
        ({"text": "x", "list": {"button": "x" * 21, "rows": [ROW]}}, "list.button"),
        ({"text": "x", "list": {"button": "See", "rows": [{**ROW, "title": "x" * 25}]}}, "list.rows[0].title"),
        ({"text": "x", "list": {"button": "See", "rows": [{**ROW, "id": "x" * 201}]}}, "list.rows[0].id"),
        (
            {"text": "x", "list": {"button": "See", "rows": [{**ROW, "description": "x" * 73}]}},
            "list.rows[0].description",
        ),
        ({"location": {"latitude": 91, "longitude": 0}}, "location.latitude"),
        ({"location": {"latitude": 0, "longitude": float("nan")}}, "location.longitude"),
        ({"contacts": [{"name": "Otto", "phones": []}]}, "contacts[0].phones"),
        ({"reaction": {"emoji": "👍"}}, "reaction.message_id"),
        ({"reaction": {"message_id": "wamid.1", "emoji": "👍"}, "quotes": "wamid.1"}, "quotes"),
        ({"template": NAMED, "quotes": "wamid.1"}, "quotes"),
        ({"template": NAMED, "location": PLACE}, ""),
        ({"quotes": "wamid.1"}, ""),
    ],
)
def test_a_content_that_can_not_be_sent_is_refused_by_its_field(fields: Json, where: str) -> None:
    assert where in wrong(**fields)


def test_a_template_is_filled_by_name_with_its_header_and_buttons() -> None:
    file = {"kind": "document", "link": "https://shop.example/7", "filename": "7.pdf"}
    filled = {
        "named": {"who": "Ida"},
        "header": {"media": file},
        "buttons": [{"index": 0, "kind": "url", "text": "7"}],
        "category": "marketing",
    }
    assert reply(template={**NAMED, **filled}).template == Template(
        name="n",
        language="es",
        named={"who": "Ida"},
        header=TemplateHeader(media=Attachment(kind="document", link="https://shop.example/7", filename="7.pdf")),
        buttons=(TemplateButton(index=0, kind="url", text="7"),),
        category="marketing",
    )


@pytest.mark.parametrize(
    ("filled", "where"),
    [
        ({"parameters": ["Ida", " \n "]}, "template.parameters[1]"),
        ({"named": {"who": "\t"}}, "template.named.who"),
        ({"parameters": ["Ida"], "named": {"who": "Ida"}}, "template"),
        ({"header": {}}, "template.header"),
        ({"header": {"media": {"kind": "audio", "link": "https://x.example"}}}, "template.header.media.kind"),
        ({"header": {"media": {"kind": "image", "link": "ftp://x.example"}}}, "template.header.media.link"),
        ({"buttons": [{"index": 0, "kind": "url", "text": ""}]}, "template.buttons[0].text"),
        ({"category": "party"}, "template.category"),
    ],
)
def test_a_template_that_is_not_filled_is_refused_by_its_field(filled: Json, where: str) -> None:
    assert where in wrong(template={**NAMED, **filled})
