"""Every provider's stand-in, by the provider's name. A new one is its folder and its line here."""

from collections.abc import Mapping
from typing import Final

from simulation.sandbox.contract import StandIn
from simulation.sandbox.engagelab import ENGAGELAB
from simulation.sandbox.twilio import TWILIO
from simulation.sandbox.whatsapp_cloud import WHATSAPP_CLOUD

STAND_INS: Final[Mapping[str, StandIn]] = {
    stand_in.name: stand_in
    for stand_in in (
        ENGAGELAB,
        WHATSAPP_CLOUD,
        TWILIO,
    )
}
