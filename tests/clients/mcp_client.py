"""PyPI's mcp, the Python SDK: tries the newest revision first."""

from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

from examine import main


class Connection(Client):
    """A Client, in the words of examine.py."""

    async def list(self):
        return (await self.list_tools(cache_mode="refresh")).tools

    async def call(self, name, arguments):
        return await self.call_tool(name, arguments)

    def version(self):
        return self.protocol_version


def by(mode):
    def connect(url, rest):
        if url:
            transport = streamable_http_client(url, http_client=create_mcp_http_client(headers={"Authorization": f"Bearer {rest}"}))
        else:
            transport = StdioServerParameters(command=rest[0], args=rest[1:])
        return Connection(transport, mode=mode)

    return connect


main("mcp", {"auto": (by("auto"), "2026-07-28"), "legacy": (by("legacy"), "2025-11-25")})
