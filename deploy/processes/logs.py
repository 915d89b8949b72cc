"""How the processes log: one line an event, to standard error, without customers' data."""

import logging

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure_logging(level: int = logging.INFO) -> None:
    """Log to standard error from `level` on; the libraries only from WARNING on."""
    logging.basicConfig(level=level, format=FORMAT)
    for noisy in ("aiokafka", "faust", "mode", "asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
