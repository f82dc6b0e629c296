// @modelcontextprotocol/sdk, the first line of the TypeScript SDK: legacy revisions only.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { implementation, main } from './examine.mjs';

await main('@modelcontextprotocol/sdk', {
  legacy: async ({ url, token, command, args }) => {
    const transport = url
      ? new StreamableHTTPClientTransport(url, { requestInit: { headers: { Authorization: `Bearer ${token}` } } })
      : new StdioClientTransport({ command, args });
    const client = new Client(implementation);
    let version = 'no revision';
    const setProtocolVersion = transport.setProtocolVersion?.bind(transport);
    transport.setProtocolVersion = agreed => {
      version = agreed;
      setProtocolVersion?.(agreed);
    };
    await client.connect(transport);
    return { client, version, expect: '2025-11-25' };
  },
});
