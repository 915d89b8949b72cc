"""`livedesk hours`: a channel's business hours, over the control API."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from agents.opening import is_open, next_opening
from cli.api_client import DEFAULT_API, Api, ApiOption, Json, JsonOption, TokenFileOption, show
from deploy.errors import LiveDeskError
from deploy.settings import Settings
from schemas.settings.business_hours import BusinessHours

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="Business hours: show, set.")

ChannelArgument = Annotated[str, typer.Argument(help="The channel's id.")]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@app.command("show")
def show_hours(
    context: typer.Context,
    channel: ChannelArgument,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the week, and what is now."""
    shown = Api(context.ensure_object(Settings), api, token_file).call("GET", f"/v1/channels/{channel}")["channel"]
    hours: Json = shown["business_hours"]
    show(hours, as_json=as_json, text=_week(hours))


@app.command("set")
def set_hours(
    context: typer.Context,
    channel: ChannelArgument,
    day: Annotated[
        list[str] | None,
        typer.Option(metavar="DAYS=INTERVALS", help="Such as mon-fri=09:00-12:30,14:00-18:00; sat= closes it."),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="An IANA zone, such as Europe/Madrid.")] = None,
    holiday: Annotated[list[str] | None, typer.Option(help="All holidays, such as 2026-12-25.")] = None,
    unavailable: Annotated[str | None, typer.Option(help="The unavailable message; empty sends none.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether they count.")] = None,
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change days, zone or message.

    What is not named stays.
    """
    client = Api(context.ensure_object(Settings), api, token_file)
    hours: Json = {}
    if day:
        before = client.call("GET", f"/v1/channels/{channel}")["channel"]["business_hours"]["week"]
        hours["week"] = before | {name: intervals for one in day for name, intervals in _days(one).items()}
    given = {"timezone": timezone, "unavailable_message": unavailable, "enabled": enabled, "holidays": holiday}
    hours |= {name: value for name, value in given.items() if value is not None}
    if not hours:
        raise LiveDeskError("There is nothing to change.", "Name days, --timezone, --holiday or --enable.")
    answer = client.call("PATCH", f"/v1/channels/{channel}/settings", {"business_hours": hours})
    changed: Json = answer["channel"]["business_hours"]
    show(changed, as_json=as_json, text=_week(changed))


def _days(text: str) -> dict[str, list[list[str]]]:
    """`mon-fri=09:00-12:30,14:00-18:00`."""
    names, separator, intervals = text.partition("=")
    first, _, last = names.strip().lower().partition("-")
    last = last or first
    if not separator or first not in DAYS or last not in DAYS or DAYS.index(first) > DAYS.index(last):
        raise LiveDeskError(f"--day {text!r} names no days.", "Write mon=09:00-18:00 or mon-fri=09:00-18:00.")
    week = [interval.strip().split("-") for interval in intervals.split(",") if interval.strip()]
    if any(len(interval) != 2 for interval in week):
        raise LiveDeskError(f"--day {text!r} has an interval without an end.", "Write 09:00-18:00.")
    return dict.fromkeys(DAYS[DAYS.index(first) : DAYS.index(last) + 1], week)


def _week(data: Json) -> str:
    hours, now = BusinessHours.model_validate(data), datetime.now(UTC)
    lines = [f"{'enabled' if hours.enabled else 'not enabled: always open'}, {hours.timezone}"]
    for name in DAYS:
        intervals = data["week"].get(name) or []
        lines.append(f"{name}  {', '.join('-'.join(interval) for interval in intervals) or 'closed'}")
    if hours.enabled:
        opening = next_opening(hours, now)
        then = "" if opening is None else f"; next opening {opening:%Y-%m-%d %H:%M} UTC"
        lines.append(f"now {'open' if is_open(hours, now) else 'closed'}{then}")
    return "\n".join(lines)
