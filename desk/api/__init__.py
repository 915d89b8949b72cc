"""The control API over HTTP: one table of routes, from which handlers, permissions and the OpenAPI document follow."""
