"""PyPI's fastmcp: tries the newest revision first."""

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from examine import main


class Connection(Client):
    """A Client, in the words of examine.py."""

    async def list(self):
        return await self.list_tools()

    async def call(self, name, arguments):
        return await self.call_tool_mcp(name, arguments)

    def version(self):
        return self.session.protocol_version


def by(mode):
    def connect(url, rest):
        if url:
            return Connection(url, auth=rest, mode=mode)
        return Connection(StdioTransport(rest[0], rest[1:], keep_alive=False), mode=mode)

    return connect


main("fastmcp", {"auto": (by("auto"), "2026-07-28"), "legacy": (by("legacy"), "2025-11-25")})
