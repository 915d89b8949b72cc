"""The partial sums of the reports topic, read from Kafka."""

from deploy.kafka.committed import CommittedReader
from schemas.events.reports import ReportUpdated
from schemas.record import decode
from schemas.topics import REPORTS


async def read_partials(reader: CommittedReader, prefix: str) -> list[tuple[str, ReportUpdated]]:
    """Every partial of the reports topic as far as it is committed. Raises LiveDeskError."""
    found: list[tuple[str, ReportUpdated]] = []
    for message in await reader.read(await reader.partitions(REPORTS.full_name(prefix))):
        event = decode(message.value, REPORTS.types).event
        if isinstance(event, ReportUpdated):
            found.append((message.key.decode(), event))
    return found
