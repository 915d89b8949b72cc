"""`livedesk topics`: the registry's topics, and Kafka's."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.kafka.acls import ROLES, Role, acls, allow, command
from deploy.kafka.topics import PARTITIONS, REPLICATION, Applied, Difference, Plan, TopicSpec, apply, plan
from deploy.settings import Settings
from schemas.topics import INBOX, Topic, state_topic
from streams.topology import TOPOLOGY, all_topics

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="The topics of the pipeline: create them in Kafka, list them.",
)


@app.command("apply")
def apply_topics(
    context: typer.Context,
    fix_config: Annotated[
        bool,
        typer.Option("--fix-config", help="Also set the configs of existing topics (retention …) that differ."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Create the topics that Kafka doesn't have yet.

    It also says how existing topics differ from what they should be, and can be repeated. Too small a
    max.message.bytes is raised.

    A new topic gets LIVEDESK_PARTITIONS partitions and LIVEDESK_REPLICATION_FACTOR copies.
    The number of partitions of an existing topic is never changed, and no topic is ever deleted.

    Differences that are left are warnings, as the pipeline runs with them: the exit code is 0. It is 1 when Kafka can't
    be reached or refuses.
    """
    settings = context.ensure_object(Settings)
    wanted = (settings.kafka, settings.topic_prefix, all_topics(), settings.partitions, settings.replication_factor)
    if dry_run:
        _show(_preview(asyncio.run(plan(*wanted)), fix_config), ("would create", "would set"))
    else:
        _show(asyncio.run(apply(*wanted, fix_config=fix_config)), ("created", "set"))


@app.command("list")
def list_topics(context: typer.Context) -> None:
    """Show every topic of the pipeline.

    Its key, who writes it and how long it is kept are shown, as the pipeline wants them: Kafka isn't asked.
    """
    settings = context.ensure_object(Settings)
    states = {state_topic(stage.name).name for stage in TOPOLOGY}
    # Bare names: with prefix and version the table is wider than a terminal.
    table = Table(box=None, padding=(0, 1, 0, 0))
    for header, width in (("topic", 13), ("key", 16), ("written by", 22), ("kept", 9), ("partitions", 10)):
        table.add_column(header, min_width=width)
    for topic in all_topics():
        if topic.name in states:
            continue
        table.add_row(
            topic.name,
            topic.key,
            ", ".join(_writers(topic)),
            _kept(topic),
            str(topic.partitions or settings.partitions),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"Each of the {len(TOPOLOGY)} stages also has a topic STAGE-state for its rows: compacted.")
    console.print(f"In Kafka inbox is called {INBOX.full_name(settings.topic_prefix)}, and so on.", markup=False)


@app.command("acls")
def show_acls(
    context: typer.Context,
    principals: Annotated[
        list[str],
        typer.Option(
            "--principal",
            metavar="ROLE=PRINCIPAL",
            help="Repeatable. Who plays a role: ingress, worker, desk, operator or reader. "
            "Left out: User:livedesk-ROLE. Only: the roles that are given, if any is.",
        ),
    ] = [],  # noqa: B006 - typer's way to say none
    do_apply: Annotated[
        bool, typer.Option("--apply", help="Have Kafka allow it, as the user of KAFKA_SASL_USERNAME.")
    ] = False,
) -> None:
    """Show the least that each kind of process must be allowed in Kafka.

    As the arguments of Kafka's own kafka-acls.sh, a line a permission. With --apply Kafka is told; it may be repeated.
    Permissions beyond these are left as they are.

    operator is who runs livedesk topics, replay and dead-letters. reader is a service that consumes the public topics.
    """
    settings = context.ensure_object(Settings)
    chosen = _principals(principals)
    wanted = [(acl, chosen[acl.role]) for acl in acls(settings.topic_prefix) if acl.role in chosen]
    console = Console(soft_wrap=True, highlight=False)
    if do_apply:
        count = asyncio.run(allow(settings.kafka, wanted))
        console.print(f"{count} permissions are in force, for {', '.join(sorted(set(chosen.values())))}.", markup=False)
    else:
        for acl, principal in wanted:
            console.print(command(acl, principal), markup=False)


def _principals(given: Iterable[str]) -> dict[Role, str]:
    chosen: dict[Role, str] = {}
    for one in given:
        name, _, principal = one.partition("=")
        role = next((role for role in ROLES if role == name), None)
        if role is None or not principal.startswith("User:") or principal == "User:":
            raise typer.BadParameter(f"{one!r} is not ROLE=User:NAME, with one of {', '.join(ROLES)}")
        chosen[role] = principal
    return chosen or {role: f"User:livedesk-{role}" for role in ROLES}


def _preview(found: Plan, fix_config: bool) -> Applied:
    fixed = found.to_fix(fix_config=fix_config)
    return Applied(found.missing, fixed, tuple(d for d in found.differences if d not in fixed))


def _show(done: Applied, verbs: tuple[str, str]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for spec in done.created:
        console.print(f"{verbs[0]} {spec.name}: {_described(spec)}", markup=False)
    for difference in done.fixed:
        console.print(f"{verbs[1]} {difference.topic}: {_change(difference)}", markup=False)
    warnings = Console(stderr=True, soft_wrap=True, highlight=False)
    for difference in done.left:
        text = f"warning: {difference.topic}: {difference.setting} is {difference.actual}, not {difference.wanted}"
        warnings.print(text, style="yellow", markup=False)
    for hint in _hints(done.left):
        warnings.print(hint, markup=False)
    if not (done.created or done.fixed or done.left):
        console.print(f"Nothing to do: all {len(all_topics())} topics are as they should be.")


def _described(spec: TopicSpec) -> str:
    count = f"{spec.partitions} partition{'s' if spec.partitions > 1 else ''}"
    return f"{count}, compacted" if spec.config["cleanup.policy"] == "compact" else count


def _change(difference: Difference) -> str:
    return f"{difference.setting} {difference.actual} -> {difference.wanted}"


def _hints(left: Iterable[Difference]) -> list[str]:
    settings = {difference.setting for difference in left}
    hints = []
    if settings - {PARTITIONS, REPLICATION}:
        hints.append("Set these configs with: livedesk topics apply --fix-config")
    if PARTITIONS in settings:
        hints.append(
            "More partitions would move keys away from their state: that is a migration, not done here. "
            "Set LIVEDESK_PARTITIONS to the number that the topics were created with."
        )
    if REPLICATION in settings:
        hints.append("Change the number of copies with Kafka's own kafka-reassign-partitions.sh, then repeat this.")
    return hints


def _writers(topic: Topic) -> tuple[str, ...]:
    written = tuple(dict.fromkeys(topic.writers.values()))
    return written or (topic.name.removesuffix("-state"),)


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return "compacted"
    return "for ever" if topic.retention is None else f"{topic.retention // timedelta(days=1)} days"
