"""Every stand-in and the product's room of the same provider, written apart, read each other."""

from datetime import timedelta
from typing import get_args

import pytest
from pydantic import SecretStr

from agents.status import FAILURES, RANKS
from providers.provider import ANSWERS, Answer, Call, TemplatePage
from providers.registry import PROVIDERS
from providers.rows import Callback, InboundMessage, InboundNotice, Receipt
from schemas.effects import SettleRequest
from schemas.events.content import (
    Attachment,
    Button,
    ContactCard,
    ListMenu,
    ListRow,
    Location,
    Outgoing,
    OutgoingKind,
    SentReaction,
)
from schemas.events.template import Template as ChosenTemplate
from schemas.events.template import TemplateButton, TemplateHeader
from schemas.settings.credentials import ProviderName
from simulation.sandbox.accounts import Account, Behaviour, Template
from simulation.sandbox.calls import CallbackRequest
from simulation.sandbox.contract import Refusal
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.happenings import Customer, Happening, Quote, ReadMessage, Reported, SentMessage, Written
from simulation.sandbox.receipts import Faults
from simulation.sandbox.stand_in import STAND_INS
from tests.support.sandbox import CONTACT, NOW, NUMBER, Played, channel_at

NAMES = [stand_in.name for stand_in in STAND_INS.values()]
USER_ID = "ES.9000000000000001"

at_each = pytest.mark.parametrize("name", NAMES)


def parsed(name: ProviderName, callback: CallbackRequest) -> tuple[object, ...]:
    stored = Callback(callback.body, callback.to.partition("?")[2])
    return PROVIDERS[name].parse(stored, channel_at(name)).rows


def read(name: ProviderName, *happened: Happening) -> list[object]:
    """What the product reads of what happened; each callback is signed."""
    played = Played.at(name)
    account = played.providers.state.accounts.get(None)
    callbacks = STAND_INS[name].render(account, happened)
    assert [played.screened(callback) for callback in callbacks] == [None] * len(callbacks)
    return [row for callback in callbacks for row in parsed(name, callback)]


def test_there_is_one_for_each_provider() -> None:
    assert STAND_INS.keys() == PROVIDERS.keys()


@at_each
def test_a_send_is_taken_logged_and_has_the_id_that_ours_foretells(name: ProviderName) -> None:
    played = Played.at(name)
    result = played.send()
    (entry,) = played.providers.log
    assert result is not None
    assert (result.answer, result.provider_message_id) == ("accepted", STAND_INS[name].message_id(NUMBER, "o1", 0))
    assert (entry.id, entry.conversation, entry.contact) == ("o1", f"wa1:{CONTACT}", CONTACT)
    assert (entry.text, entry.type, entry.account, entry.provider) == ("Good day", "text", "wa1", name)


OUTGOING: dict[OutgoingKind, Outgoing] = {
    "buttons": Outgoing(buttons=(Button(id="yes", title="Yes"), Button(id="no", title="No"))),
    "list": Outgoing(list=ListMenu(button="Rate", rows=(ListRow(id="5", title="Great", description="very"),))),
    "location": Outgoing(location=Location(latitude=52.52, longitude=13.405, name="Shop")),
    "contacts": Outgoing(contacts=(ContactCard(name="Bo", phones=("+34600100200",)),)),
    "reaction": Outgoing(reaction=SentReaction(message_id="wamid.A", emoji="👍")),
    "contact_request": Outgoing(contact_request=True),
    "quotes": Outgoing(quotes="wamid.A"),
}


def test_there_is_a_message_of_each_kind() -> None:
    assert OUTGOING.keys() == set(get_args(OutgoingKind))


@at_each
def test_every_kind_of_message_that_the_product_sends_is_taken(name: ProviderName) -> None:
    played = Played.at(name)
    for kind, content in OUTGOING.items():
        if kind not in PROVIDERS[name].sends:
            continue
        text = None if kind in ("location", "contacts", "reaction") else "How was it?"
        result = played.send(kind, text=text, content=content)
        assert result is not None
        assert (result.answer, result.message) == ("accepted", ""), kind


@at_each
def test_every_kind_of_file_that_the_product_sends_is_taken(name: ProviderName) -> None:
    played = Played.at(name)
    for kind in PROVIDERS[name].media:
        attachment = Attachment.model_validate({"kind": kind, "link": "https://media.example/a", "filename": "a.pdf"})
        result = played.send(kind, text=None, content=Outgoing(media=attachment))
        assert result is not None
        assert (result.answer, result.message) == ("accepted", ""), kind


@at_each
def test_a_whole_template_is_taken(name: ProviderName) -> None:
    stand_in = STAND_INS[name]
    played = Played.at(name, templates=(Template(name="order", language="es"),))
    whole = ChosenTemplate(name=stand_in.template_name("order", "es"), language="es", parameters=("Eva", "A-17"))
    if "template_header" in PROVIDERS[name].sends:
        buttons = (TemplateButton(index=0, kind="url", text="a"), TemplateButton(index=1, kind="quick_reply", text="b"))
        image = Attachment(kind="image", link="https://media.example/a")
        whole = whole.model_copy(update={"header": TemplateHeader(media=image), "buttons": buttons})
    result = played.send(text=None, template=whole)
    assert result is not None
    assert (result.answer, result.message) == ("accepted", "")


@at_each
def test_what_twilio_took_without_an_answer_is_on_its_list(name: ProviderName) -> None:
    settling = PROVIDERS[name].settling
    assert (settling is not None) is STAND_INS[name].lists_messages
    if settling is None:
        return
    played = Played.at(name, behaviour=Behaviour(answer="timeout", times=1))
    request = SettleRequest(
        effect_id="e1", channel="wa1", contact=CONTACT, text="Good day", since=NOW, known=(), message_id="o1"
    )
    found = []
    for _ in range(2):
        call = settling.plan(request, played.channel)
        assert isinstance(call, Call)
        reply = played.call(call)
        found.append(settling.read(request, Answer(reply.status or 0, reply.body)).answer)
        played.send()
    assert found == ["absent", "taken"]


@at_each
def test_a_repeat_has_an_id_of_its_own(name: ProviderName) -> None:
    played = Played.at(name)
    results = [played.send(), played.send()]
    assert len({result and result.provider_message_id for result in results}) == 2
    assert [entry.repeat for entry in played.providers.log] == [0, 1]


@at_each
def test_a_customer_without_a_number_is_sent_to(name: ProviderName) -> None:
    played = Played.at(name)
    result = played.send(to=USER_ID)
    assert result is not None
    assert (result.answer, played.providers.log[0].contact) == ("accepted", USER_ID)


@at_each
def test_wrong_credentials_are_refused_as_such(name: ProviderName) -> None:
    played = Played.at(name)
    secret = {"dev_secret": SecretStr("x"), "access_token": SecretStr("x"), "auth_token": SecretStr("x")}
    right = played.channel
    given = {field: value for field, value in secret.items() if getattr(right, field) is not None}
    played.channel = right.model_copy(update=given)
    result = played.send()
    assert result is not None
    assert (result.answer, played.providers.log[0].account) == ("credentials", None)


@at_each
def test_every_refusal_means_to_the_product_what_it_means_here(name: ProviderName) -> None:
    played = Played.at(name)
    for meaning, codes in STAND_INS[name].codes.items():
        for code in codes:
            played.providers.set_behaviour(Behaviour(answer="refuse", code=code))
            result = played.send()
            assert result is not None
            assert (result.code, result.answer) == (code, expected(name, meaning)), (meaning, code)


def expected(name: ProviderName, meaning: Refusal) -> str:
    # EngageLab's codes tell less: what may not be repeated is final.
    final = name == "engagelab" and meaning in ("template", "window_closed")
    return "refused" if final else ANSWERS[meaning]


@at_each
def test_a_provider_that_is_down_is_asked_again(name: ProviderName) -> None:
    played = Played.at(name, behaviour=Behaviour(answer="unreachable", times=1))
    result = played.send()
    assert result is not None
    assert (result.answer, played.providers.log) == ("retry", ())


@at_each
def test_a_send_without_an_answer_is_unknown_and_was_taken(name: ProviderName) -> None:
    played = Played.at(name, behaviour=Behaviour(answer="timeout", times=1))
    assert played.send() is None
    assert [entry.outcome for entry in played.providers.log] == ["timeout"]


@at_each
def test_receipts_are_signed_and_find_their_message(name: ProviderName) -> None:
    played = Played.at(name)
    played.send()
    assert [played.screened(callback) for callback in played.callbacks] == [None] * len(played.callbacks)
    rows = [row for callback in played.callbacks for row in parsed(name, callback)]
    receipts = [row for row in rows if isinstance(row, Receipt)]
    known = [
        status for status in ("plan", "target_valid", "sent", "delivered", "read") if status in STAND_INS[name].words
    ]
    assert [receipt.status for receipt in receipts] == known
    for receipt in receipts:
        assert (receipt.ref_id, receipt.contact) == ("o1", CONTACT)
        assert receipt.provider_message_id == played.providers.log[0].message_id


@at_each
@pytest.mark.parametrize("fault", ["sent_failed", "delivered_failed"])
def test_a_failure_has_a_code_that_the_product_knows(name: ProviderName, fault: str) -> None:
    played = Played.at(name, Faults.model_validate({fault: 1}))
    played.send()
    last = parsed(name, played.callbacks[-1])[0]
    assert isinstance(last, Receipt)
    assert last.status in FAILURES
    assert last.error_code in {code for code, _ in STAND_INS[name].failures.values()}


@at_each
def test_neutral_statuses_are_read_back_as_they_are(name: ProviderName) -> None:
    for status in STAND_INS[name].words:
        (row,) = read(name, Reported(SentMessage("o1", Customer(CONTACT)), status, NOW))
        assert isinstance(row, Receipt)
        assert row.status == status
        assert status in RANKS.keys() | FAILURES


@at_each
def test_what_is_rendered_is_read_back(name: ProviderName) -> None:
    account = Played.at(name).providers.state.accounts.get(None)
    sent = SentMessage("o1", Customer(CONTACT))
    happened: list[Happening] = [Written("m1", Customer(CONTACT), NOW, text="hi"), Reported(sent, "read", NOW)]
    found = [STAND_INS[name].read(callback.body) for callback in STAND_INS[name].render(account, happened)]
    at = NOW if STAND_INS[name].sends_times else None
    assert [message for one in found for message in one.inbound] == [ReadMessage("m1", CONTACT, "hi", at)]
    receipts = [(receipt.message_id, receipt.status) for one in found for receipt in one.receipts]
    assert receipts == [(STAND_INS[name].message_id(NUMBER, "o1", 0), "read")]


@at_each
@pytest.mark.parametrize(
    "kind", ["text", "image", "video", "audio", "document", "sticker", "button", "interactive", "order", "unknown"]
)
def test_a_customer_s_message_is_read(name: ProviderName, kind: str) -> None:
    if kind in STAND_INS[name].lacks:
        return
    link = "https://example.test/1.bin"
    (row,) = read(name, Written("m1", Customer(CONTACT, "Berta"), NOW, kind, "hola", link=link))
    assert isinstance(row, InboundMessage)
    assert (row.message_id, row.contact, row.name, row.type) == ("m1", CONTACT, "Berta", kind)
    assert row.sent_at == (int(NOW.timestamp()) if STAND_INS[name].sends_times else None)
    assert row.media is None or row.media.link == link


@at_each
@pytest.mark.parametrize("kind", ["reaction", "deleted", "system"])
def test_notices_are_read_as_such(name: ProviderName, kind: str) -> None:
    if kind in STAND_INS[name].lacks:
        return
    happened = Written("m1", Customer(CONTACT), NOW, kind, "👍", target="wamid.B", new_contact="34699000111")
    (row,) = read(name, happened)
    assert isinstance(row, InboundNotice)
    assert row.refers_to == (None if kind == "system" else "wamid.B")


def test_a_changed_number_has_the_old_and_the_new_one() -> None:
    happened = Written("m1", Customer(CONTACT, bsuid=USER_ID), NOW, "system", "new", new_contact="34699000111")
    (row,) = read("whatsapp_cloud", happened)
    assert isinstance(row, InboundNotice)
    assert row.renamed is not None
    assert (row.contact, row.renamed.phone) == (CONTACT, "34699000111")


@at_each
@pytest.mark.parametrize(
    ("customer", "names"),
    [
        (Customer(CONTACT), (CONTACT, None)),
        (Customer(CONTACT, bsuid=USER_ID), (CONTACT, USER_ID)),
        (Customer(USER_ID), (USER_ID, None)),
    ],
)
def test_customers_have_a_number_a_user_id_or_both(
    name: ProviderName, customer: Customer, names: tuple[str, str | None]
) -> None:
    (row,) = read(name, Written("m1", customer, NOW, text="hi"))
    assert isinstance(row, InboundMessage)
    assert (row.contact, row.user_id) == names


@at_each
@pytest.mark.parametrize("ours", [True, False])
def test_a_quote_names_the_quoted_message(name: ProviderName, ours: bool) -> None:
    (row,) = read(name, Written("m2", Customer(CONTACT), NOW, text="5", quotes=Quote("x1", ours)))
    assert isinstance(row, InboundMessage)
    assert row.quotes is not None
    assert (row.quotes.message_id == STAND_INS[name].message_id(NUMBER, "x1", 0)) is ours


@at_each
def test_several_things_come_together_where_the_provider_does_so(name: ProviderName) -> None:
    played = Played.at(name)
    messages = [CustomerMessage(contact=CONTACT, text=text) for text in ("one", "two")]
    callbacks = played.providers.customers_write(messages, NOW)
    rows = [row for callback in callbacks for row in parsed(name, callback.request)]
    assert [row.text for row in rows if isinstance(row, InboundMessage)] == ["one", "two"]
    assert len(callbacks) == (2 if name == "twilio" else 1)


@at_each
def test_the_same_customers_have_the_same_ids_in_every_run(name: ProviderName) -> None:
    said = [CustomerMessage(contact=CONTACT, text="hi"), CustomerMessage(contact=CONTACT, text="anybody?")]
    runs = [Played.at(name).providers.customers_write(said, NOW) for _ in range(2)]
    assert runs[0] == runs[1]
    ids = [message.id for callback in runs[0] for message in STAND_INS[name].read(callback.body).inbound]
    assert len(set(ids)) == 2


def listed(played: Played) -> dict[tuple[str, str], str]:
    """The account's templates as the product lists them, page by page: their status by name and language."""
    provider, cursor = PROVIDERS[played.channel.provider], None
    found: dict[tuple[str, str], str] = {}
    while True:
        call = provider.plan_templates(played.channel, cursor)
        assert isinstance(call, Call)
        reply = played.call(call)
        page = provider.read_templates(Answer(reply.status or 0, reply.body))
        assert isinstance(page, TemplatePage)
        found |= {(one.name, one.language): one.status for one in page.templates}
        if page.next is None:
            return found
        cursor = page.next


@at_each
def test_templates_are_listed_to_the_last_page(name: ProviderName) -> None:
    templates = tuple(Template(name=f"order_{number}", language="en") for number in range(1_200))
    found = listed(Played.at(name, templates=templates))
    names = {(STAND_INS[name].template_name(one.name, one.language), one.language) for one in templates}
    assert found == dict.fromkeys(names, "APPROVED")


@at_each
def test_templates_are_looked_up_and_sent(name: ProviderName) -> None:
    stand_in = STAND_INS[name]
    templates = (Template(name="hello", language="es"), Template(name="old", language="es", status="REJECTED"))
    played = Played.at(name, templates=templates)

    def chosen(template: str, language: str) -> ChosenTemplate:
        return ChosenTemplate(name=stand_in.template_name(template, language), language=language, parameters=("Eva",))

    found = {}
    for template, language in (("hello", "es"), ("hello", "en"), ("old", "es")):
        wanted = chosen(template, language)
        status = listed(played).get((wanted.name, language))
        sent = played.send(f"{template}-{language}", text=None, template=wanted)
        found[template, language] = (status == "APPROVED", sent is not None and sent.answer == "accepted")
    assert found == {("hello", "es"): (True, True), ("hello", "en"): (False, False), ("old", "es"): (False, False)}
    assert played.providers.log[0].template is not None
    assert played.providers.log[0].template["name"] == "hello"


@at_each
def test_a_closed_window_is_reported_as_the_provider_does(name: ProviderName) -> None:
    played = Played.at(name, enforce_window=True)
    played.providers.customers_write([CustomerMessage(contact=f"+{CONTACT}", text="hi")], NOW)
    played.now = NOW + timedelta(hours=24, seconds=-1)
    in_time = played.send("o1")
    played.now, played.callbacks = NOW + timedelta(hours=24), []
    late = played.send("o2")
    assert in_time is not None
    assert late is not None
    assert in_time.answer == "accepted"
    code = STAND_INS[name].codes["window_closed"][0]
    if STAND_INS[name].refuses_closed_window:
        assert (late.answer, late.code) == ("refused", code)
        return
    last = parsed(name, played.callbacks[-1])[0]
    assert isinstance(last, Receipt)
    assert (late.answer, last.error_code) == ("accepted", code)
    assert last.status in FAILURES


@at_each
def test_accounts_do_not_share_behaviour(name: ProviderName) -> None:
    played = Played.at(name)
    other = STAND_INS[name].make_credentials("other")
    played.providers.state.accounts.put(
        Account.model_validate({**other, "id": "b", "provider": name, "phone_number": NUMBER})
    )
    played.providers.set_behaviour(Behaviour(answer="unreachable"), "b")
    result = played.send()
    assert result is not None
    assert result.answer == "accepted"


@at_each
def test_credentials_are_made_of_any_id(name: ProviderName) -> None:
    stand_in = STAND_INS[name]
    keys = set()
    for id in ("a b/ü", "shop"):
        made = {**stand_in.make_credentials(id), "provider": name, "phone_number": NUMBER}
        keys.add(getattr(Account.model_validate(made), stand_in.key))
    assert len(keys) == 2
