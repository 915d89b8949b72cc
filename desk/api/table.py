"""The table of routes."""

from types import SimpleNamespace
from typing import Any

from desk.api.ai_agents import AiAgentRoutes
from desk.api.channels import ChannelRoutes
from desk.api.conversations import ConversationRoutes
from desk.api.document import VERSION, DocumentRoutes
from desk.api.files import FileRoutes
from desk.api.knowledge import KnowledgeRoutes
from desk.api.oidc import OidcRoutes
from desk.api.openapi import Json, openapi
from desk.api.operations import OperationRoutes
from desk.api.people import PeopleRoutes
from desk.api.reading import ReadingRoutes
from desk.api.reports import ReportRoutes
from desk.api.route import Route
from desk.api.sessions import SessionRoutes
from desk.api.stream import StreamRoutes, Streams
from desk.api.tokens import TokenRoutes
from desk.api.users import UserRoutes
from desk.front_door import FrontDoor
from desk.office import Office
from desk.outcomes import Outcomes


def all_routes(office: Office, outcomes: Outcomes, door: FrontDoor, streams: Streams) -> tuple[Route, ...]:
    """Every route of the control API."""
    channels = ChannelRoutes(office)
    parts = (
        SessionRoutes(door),
        OidcRoutes(door),
        TokenRoutes(door, office.directory),
        UserRoutes(door, office.directory),
        channels,
        PeopleRoutes(office, channels),
        AiAgentRoutes(office),
        ConversationRoutes(office, outcomes),
        FileRoutes(office),
        KnowledgeRoutes(office),
        ReadingRoutes(office),
        ReportRoutes(office),
        OperationRoutes(office),
        StreamRoutes(office, streams),
    )
    routes = tuple(route for part in parts for route in part.routes())
    return (*routes, *DocumentRoutes(routes).routes())


def described() -> Json:
    """The OpenAPI document of the table."""
    nothing: Any = SimpleNamespace(directory=None)  # handlers are named in it, and not called
    return openapi(all_routes(nothing, nothing, nothing, nothing), VERSION)
