"""EngageLab's error codes."""

from __future__ import annotations

from pydantic import JsonValue

# EngageLab docs, confirmed: 1000 internal, 2001 bad token, 2002 token expired or disabled, 2003 Meta authentication,
# 2004 no permission for this sender, 3001 not JSON, 3002 parameters, 3003 business validation, 4001 no such resource,
# 5002 refused by Meta.
HTTP_STATUS = {
    1000: 500,
    2001: 401,
    2002: 401,
    2003: 400,
    2004: 403,
    3001: 400,
    3002: 400,
    3003: 400,
    4001: 400,
    5002: 400,
}


class ApiError(Exception):
    """A call that EngageLab refuses, as its code and message."""

    def __init__(self, code: int, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status or HTTP_STATUS.get(code, 400)

    def body(self) -> dict[str, JsonValue]:
        """The JSON of the answer."""
        return {"code": self.code, "message": str(self)}
