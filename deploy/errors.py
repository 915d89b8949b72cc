"""The one exception whose text is meant for the person at the terminal."""


class LiveDeskError(Exception):
    """Something the user can put right: what happened, and what to do about it.

    The command line prints both without a traceback and exits with 1.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message
