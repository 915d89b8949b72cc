"""The table of routes."""

from desk.api.channels import ChannelRoutes
from desk.api.conversations import ConversationRoutes
from desk.api.files import FileRoutes
from desk.api.people import PeopleRoutes
from desk.api.route import Route
from desk.office import Office
from desk.outcomes import Outcomes


def all_routes(office: Office, outcomes: Outcomes) -> tuple[Route, ...]:
    """Every route of the control API."""
    channels = ChannelRoutes(office)
    parts = (channels, PeopleRoutes(office, channels), ConversationRoutes(office, outcomes), FileRoutes(office))
    return tuple(route for part in parts for route in part.routes())
