"""Routes for the pipeline itself: how far it is behind, and giving dead letters back."""

from pydantic import BaseModel

from desk.access.permissions import Permission
from desk.api.problems import Problem, not_found
from desk.api.reading import queries_of, viewer_of
from desk.api.route import Answer, Call, Route
from desk.office import NotAsked, NotGivenBack, Office, Operations


class BehindAnswer(BaseModel):
    """A stage, or the view (`desk`), and how many records of a topic it has still to read. says: that, in words."""

    reader: str
    topic: str
    records: int
    says: str


class LagAnswer(BaseModel):
    """Everybody who reads topics, in the order of the pipeline. says: all of it in words."""

    says: str
    readers: tuple[BehindAnswer, ...]


class GivenBackAnswer(BaseModel):
    """Ids of the letters that were written back. unreadable: of those that stay, as this version can't read them."""

    stage: str
    key: str
    letters: tuple[str, ...]
    unreadable: tuple[str, ...]


class OperationRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        letter = "/v1/accounts/{account}/dead-letters/{id}"
        return (
            Route(
                "GET",
                "/v1/lag",
                Permission.DIRECT,
                "How far the stages and the view are behind.",
                self.show_lag,
                LagAnswer,
            ),
            Route(
                "POST",
                f"{letter}/replay",
                Permission.DIRECT,
                "Write a dead letter back, with all others of its stage and key.",
                self.replay_letter,
                GivenBackAnswer,
                problems=(409,),
            ),
        )

    async def show_lag(self, _call: Call[None]) -> Answer:
        """Of the whole installation: no account's records are in it."""
        try:
            found = await self._operations().lag()
        except NotAsked as error:
            raise Problem(503, "kafka_unavailable", f"Kafka can't be asked now: {error}") from None
        behind = [f"{one.reader} has {_records(one.records)} of {one.topic} to read" for one in found if one.records]
        says = "; ".join(behind) or "everything is read"
        readers = tuple(
            BehindAnswer(
                reader=one.reader,
                topic=one.topic,
                records=one.records,
                says=f"{_records(one.records)} to read" if one.records else "up to date",
            )
            for one in found
        )
        return Answer(LagAnswer(says=says, readers=readers))

    async def replay_letter(self, call: Call[None]) -> Answer:
        """In the order in which they first came in, so that none overtakes another."""
        viewer = viewer_of(self._office, call.actor, call.path["account"])
        if not (await queries_of(self._office).letter(viewer, call.path["id"])).items:
            raise not_found()
        try:
            done = await self._operations().replay(call.path["id"], call.path["account"], call.actor.id)
        except NotGivenBack as error:
            raise Problem(409, "not_replayed", str(error)) from None
        return Answer(GivenBackAnswer.model_validate(done, from_attributes=True))

    def _operations(self) -> Operations:
        if self._office.operations is None:
            raise Problem(503, "no_view", "this process keeps no view")
        return self._office.operations


def _records(number: int) -> str:
    return "1 record" if number == 1 else f"{number:,} records"
