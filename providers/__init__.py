"""The providers: a folder each, and one value that says all about it. Pure: no clock, no sockets, no asyncio."""
