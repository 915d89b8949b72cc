"""EngageLab's template API: list, get, create, update, delete."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from simulation.sandbox.accounts import Account, Template
from simulation.sandbox.calls import CUT, ApiError, Json, Reply, json_reply
from simulation.sandbox.contract import Asked, Route
from simulation.sandbox.engagelab.authentication import authenticate
from simulation.sandbox.engagelab.requests import parse_object

SUCCESS: Json = {"code": 0, "message": "success"}

Templates = tuple[Template, ...]


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


def _reachable(handle: Callable[[Asked, Account, Templates], Reply]) -> Callable[[Asked], Reply]:
    """A handler that is given the caller's account and its templates, if it reaches them."""

    def handler(asked: Asked) -> Reply:
        account = authenticate(asked)
        return CUT if account.templates == "unreachable" else handle(asked, account, account.templates)

    return handler


def _list(asked: Asked, _account: Account, templates: Templates) -> Reply:
    query = asked.request.query
    wanted = TemplateFilter(query.get("name"), query.get("language_code"), query.get("category"), query.get("status"))
    return json_reply([_render(template) for template in templates if wanted.matches(template)])


def _get(asked: Asked, _account: Account, templates: Templates) -> Reply:
    return json_reply(_render(_find(templates, asked.match["id"])))


def _create(asked: Asked, account: Account, templates: Templates) -> Reply:
    """A new template is PENDING: Meta reviews it."""
    template = _template(parse_object(asked.request.body) | {"status": "PENDING"})
    if any(known.id == template.id for known in templates):
        raise ApiError(3003, "a template with this name and language exists")
    _save(asked, account, (*templates, template))
    return json_reply({"template_id": template.id})


def _update(asked: Asked, account: Account, templates: Templates) -> Reply:
    """Category and components; it is reviewed again."""
    known = _find(templates, asked.match["id"])
    given = {k: value for k, value in parse_object(asked.request.body).items() if k in ("category", "components")}
    changed = _template(known.model_dump(mode="json") | given | {"status": "PENDING"})
    _save(asked, account, tuple(changed if template is known else template for template in templates))
    return json_reply(SUCCESS)


def _delete(asked: Asked, account: Account, templates: Templates) -> Reply:
    """In every language."""
    kept = tuple(template for template in templates if template.name != asked.match["name"])
    if len(kept) == len(templates):
        raise ApiError(4001, "template not found")
    _save(asked, account, kept)
    return json_reply(SUCCESS)


ROUTES = (
    Route("GET", re.compile(r"/v1/templates"), _reachable(_list)),
    Route("POST", re.compile(r"/v1/templates"), _reachable(_create)),
    Route("GET", re.compile(r"/v1/templates/(?P<id>[^/]+)"), _reachable(_get)),
    Route("PUT", re.compile(r"/v1/templates/(?P<id>[^/]+)"), _reachable(_update)),
    Route("DELETE", re.compile(r"/v1/templates/(?P<name>[^/]+)"), _reachable(_delete)),
)


def _save(asked: Asked, account: Account, templates: Templates) -> None:
    asked.state.accounts.put(account.model_copy(update={"templates": templates}))


def _find(templates: Templates, id: str) -> Template:
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
