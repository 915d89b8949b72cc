"""EngageLab's template API: list, get, create, update, delete."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from simulation.sandbox.accounts import Account, Accounts, Credentials, Template
from simulation.sandbox.engagelab.callbacks import Json
from simulation.sandbox.engagelab.errors import ApiError
from simulation.sandbox.engagelab.requests import parse_object

SUCCESS: Json = {"code": 0, "message": "success"}


class UnreachableError(Exception):
    """The account's template API drops its connections."""


@dataclass(frozen=True)
class TemplateFilter:
    """Query of the list. name matches any part of a name, the others exactly (EngageLab docs, confirmed for name)."""

    name: str | None = None
    language_code: str | None = None
    category: str | None = None
    status: str | None = None

    def matches(self, template: Template) -> bool:
        """Whether a template is listed."""
        return (
            (self.name or "") in template.name
            and self.language_code in (None, template.language)
            and self.category in (None, template.category)
            and self.status in (None, template.status)
        )


class TemplateApi:
    """The template calls of every account. All raise ApiError, or UnreachableError."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def list(self, credentials: Credentials | None, wanted: TemplateFilter) -> JsonValue:
        """GET /v1/templates: an array."""
        _, templates = self._open(credentials)
        return [_render(template) for template in templates if wanted.matches(template)]

    def get(self, credentials: Credentials | None, id: str) -> JsonValue:
        """GET /v1/templates/{id}."""
        _, templates = self._open(credentials)
        return _render(_find(templates, id))

    def create(self, credentials: Credentials | None, body: bytes) -> JsonValue:
        """POST /v1/templates. A new template is PENDING: Meta reviews it."""
        account, templates = self._open(credentials)
        template = _template(parse_object(body) | {"status": "PENDING"})
        if any(known.id == template.id for known in templates):
            raise ApiError(3003, "a template with this name and language exists")
        self._save(account, (*templates, template))
        return {"template_id": template.id}

    def update(self, credentials: Credentials | None, id: str, body: bytes) -> JsonValue:
        """PUT /v1/templates/{id}: category and components; it is reviewed again."""
        account, templates = self._open(credentials)
        known = _find(templates, id)
        given = {key: value for key, value in parse_object(body).items() if key in ("category", "components")}
        changed = _template(known.model_dump(mode="json") | given | {"status": "PENDING"})
        self._save(account, tuple(changed if template is known else template for template in templates))
        return SUCCESS

    def delete(self, credentials: Credentials | None, name: str) -> JsonValue:
        """DELETE /v1/templates/{name}: in every language."""
        account, templates = self._open(credentials)
        kept = tuple(template for template in templates if template.name != name)
        if len(kept) == len(templates):
            raise ApiError(4001, "template not found")
        self._save(account, kept)
        return SUCCESS

    def _open(self, credentials: Credentials | None) -> tuple[Account, tuple[Template, ...]]:
        account = self._accounts.authenticate(credentials)
        if account.templates == "unreachable":
            raise UnreachableError
        return account, account.templates

    def _save(self, account: Account, templates: tuple[Template, ...]) -> None:
        self._accounts.put(account.model_copy(update={"templates": templates}))


def _find(templates: tuple[Template, ...], id: str) -> Template:
    for template in templates:
        if template.id == id:
            return template
    raise ApiError(4001, "template not found")


def _render(template: Template) -> Json:
    rendered: Json = {"id": template.id}
    return rendered | template.model_dump(mode="json")


def _template(data: Json) -> Template:
    try:
        return Template.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ApiError(3002, f"{'.'.join(map(str, first['loc']))} field: {first['msg']}") from error
