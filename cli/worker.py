"""The `livedesk worker` command."""

from collections.abc import Sequence
from typing import Annotated

import typer
import uvloop

from agents.stage import Stage
from deploy.errors import LiveDeskError
from deploy.processes.logs import configure_logging
from deploy.processes.worker import run_worker
from deploy.secrets import load_secrets
from deploy.settings import Settings
from streams.runtime.worker import StageCrashed
from streams.topology import TOPOLOGY

STAGES = {stage.name: stage for stage in TOPOLOGY}


def chosen_stages(names: Sequence[str] | None, *, all_stages: bool) -> list[Stage]:
    """The stages of those names, or all. Raises LiveDeskError."""
    names = list(STAGES) if all_stages else names or ()
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise LiveDeskError(f"No such stage: {', '.join(unknown)}.", f"Stages are: {', '.join(STAGES)}.")
    if not names:
        raise LiveDeskError("No stage named.", "Name some, or use --all.")
    return [STAGES[name] for name in names]


app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def worker(
    context: typer.Context,
    stages: Annotated[
        list[str] | None, typer.Argument(help=f"Stages to run: {', '.join(STAGES)}.", show_default=False)
    ] = None,
    all_stages: Annotated[bool, typer.Option("--all", help="Run every stage.")] = False,
    instance_id: Annotated[
        str | None,
        typer.Option(
            envvar="LIVEDESK_INSTANCE_ID",
            help="A stable name for this worker, such as its pod's: a worker that comes back under its name gets its "
            "partitions back at once. Two workers that run the same stage must have different names.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address of the health page.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of /healthz, /readyz and /metrics; 0 takes any free one.")
    ] = 8090,
) -> None:
    """Run stages of the pipeline until SIGTERM or Ctrl-C. While Kafka is not there it waits.

    Several workers share the partitions of a stage: as many can work as it has partitions. A worker that can't be sure
    whether its transaction was committed ends with exit code 70: have its supervisor start it again.
    """
    chosen = chosen_stages(stages, all_stages=all_stages)
    configure_logging()
    settings = context.ensure_object(Settings)
    try:
        uvloop.run(run_worker(settings, load_secrets(settings), chosen, instance_id=instance_id, host=host, port=port))
    except StageCrashed as error:
        raise LiveDeskError(
            f"A stage gave up: {error}", "Look at the log above, then start the worker again."
        ) from error
    except LookupError as error:
        raise LiveDeskError(str(error), "livedesk topics apply") from error
