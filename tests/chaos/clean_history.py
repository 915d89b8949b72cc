"""The history of a small run without faults, in which everything happens that there are laws for."""

from datetime import timedelta
from typing import Final

from schemas.effects import AiResult
from schemas.events.conversation import Assignee
from schemas.events.inbox import AddNote, Assign, Label, Reopen, Reply, Resolve, Snooze
from simulation.sandbox.accounts import Behaviour
from simulation.sandbox.gpt.script import Called, GptTurn
from tests.chaos.clean_run import BOT, GUIDE, NIGHT, SHOP, CleanRun
from tests.chaos.history import History

CUSTOMERS: Final = ("31611000001", "31611000002", "31611000003", "31611000004")


def clean_history() -> History:
    """Two agents, four channels, four customers; at the end nobody is there, and one customer waits."""
    run = CleanRun()
    run.agent("a1", "online")
    run.agent("a2", "online")
    for channel in (SHOP, BOT, NIGHT, GUIDE):
        run.save(channel)
    _in_doubt(run)
    _shown(run)
    _rated(run)
    _with_the_ai_agent(run)
    _with_the_gpt_agent(run)
    _closed(run)
    _failed_by_receipt(run)
    _agents_leave(run)
    return run.history()


def _in_doubt(run: CleanRun) -> None:
    """Greetings; one reply goes well, one is repeated, a greeting stays unknown."""
    first, second, third, _ = CUSTOMERS
    run.write(first, "m1")
    run.write(second, "m2")
    run.write(first, "m3")
    run.wait(5)
    run.ask(first, Reply(command_id="reply1", by="a1", text="dag"))
    run.wait(5)
    run.provider(Behaviour(answer="timeout", times=1))
    run.ask(second, Reply(command_id="reply2", by="a1", text="dag"))
    run.wait(65)
    run.provider(Behaviour(answer="timeout", times=1))
    run.write(third, "m4")
    run.write(third, "m5")
    run.wait(65)


def _shown(run: CleanRun) -> None:
    """Pictures, whose files are stored."""
    run.show(CUSTOMERS[0], "p1")
    run.show(CUSTOMERS[1], "p2")
    run.wait(5)


def _rated(run: CleanRun) -> None:
    """One survey is answered twice, one by a quote while a conversation is live; one resolution is left out."""
    first, second, third, _ = CUSTOMERS
    run.ask(first, Resolve(command_id="resolve1", by="a1"))
    run.wait(5)
    run.write(first, "r1", text="4")
    run.write(first, "r2", text="2")
    run.ask(second, Resolve(command_id="resolve2", by="a2"))
    run.wait(5)
    survey = run.last_sent(second)
    run.write(second, "m7")
    run.write(second, "r3", text="5", quotes=survey)
    run.ask(third, Label(command_id="label1", by="a1", add=("vip",)))
    run.change(SHOP, {"csat": {"labels": {"mode": "except", "labels": ["vip"]}}})
    run.ask(third, Resolve(command_id="resolve3", by="a1"))
    run.ask(third, Reopen(command_id="reopen1", by="a1"))
    run.ask(third, AddNote(command_id="note1", by="a1", text="let op"))
    run.ask(third, Snooze(command_id="snooze1", by="a1", until=run.now + timedelta(seconds=20)))
    run.wait(310)
    run.write(first, "m6")
    run.wait(30)


def _with_the_ai_agent(run: CleanRun) -> None:
    """It answers one, hands one over while a question waits, and errs on one."""
    first, second, third, _ = CUSTOMERS
    run.write(first, "b1", BOT)
    run.write(first, "b2", BOT)
    run.ai = AiResult(answer="handoff")
    run.write_at_once(second, ("b3", "b4"), BOT)
    run.ai = AiResult(answer="error")
    run.write(third, "b5", BOT)
    run.ai = AiResult(answer="text", text="Tot ziens")
    run.ask(second, Assign(command_id="assign1", by="a1", to=Assignee(kind="ai", id="robot")), BOT)
    run.write(second, "b6", BOT)
    run.ask(first, Reply(command_id="reply3", by="a2", text="ik ben er"), BOT)
    run.wait(30)


def _with_the_gpt_agent(run: CleanRun) -> None:
    """It books, is asked to wait and then answers two at once, and hands over."""
    first, second, _, _ = CUSTOMERS
    cited, plain = GptTurn(text="Zo is het. [1]"), GptTurn(text="Klaar.")
    run.model(GptTurn(calls=(Called(name="book", arguments={"number": "7"}),)), cited)
    run.write(first, "g1", GUIDE)
    run.model(GptTurn(does="fail", status=429, retry_after="1"), plain)
    run.write(first, "g2", GUIDE)
    run.write(first, "g3", GUIDE)
    run.wait(5)
    run.model(cited)
    run.write(second, "g4", GUIDE)
    run.model(GptTurn(calls=(Called(name="hand_over", arguments={"reason": "anger", "summary": "Boos."}),)))
    run.write(second, "g5", GUIDE)
    run.model(plain)
    run.write(first, "g6", GUIDE)
    run.ask(first, Reply(command_id="reply5", by="a2", text="ik ben er"), GUIDE)
    run.wait(30)


def _closed(run: CleanRun) -> None:
    """Reported once a day that nobody is there; one customer's window is over when they are heard."""
    first, second, _, _ = CUSTOMERS
    run.write(first, "n1", NIGHT)
    run.write(first, "n2", NIGHT)
    run.write(second, "n3", NIGHT, late=timedelta(hours=25))
    run.wait(30)


def _failed_by_receipt(run: CleanRun) -> None:
    """A reply and a survey were accepted, and reached nobody."""
    fourth = CUSTOMERS[3]
    run.write(fourth, "f1")
    run.wait(5)
    run.ask(fourth, Reply(command_id="reply4", by="a1", text="dag"))
    run.fail_last(fourth)
    run.wait(5)
    run.ask(fourth, Resolve(command_id="resolve4", by="a1"))
    run.wait(0)
    run.fail_last(fourth)
    run.wait(310)


def _agents_leave(run: CleanRun) -> None:
    """One is no member any more, then nobody is there."""
    run.change(SHOP, {"human_agents": ["a1"]})
    run.agent("a1", "offline")
    run.agent("a2", "offline")
    run.write(CUSTOMERS[3], "m8")
    run.wait(30)
