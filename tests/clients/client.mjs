// @modelcontextprotocol/client, the second line of the TypeScript SDK: the newest revision when it is let, a legacy one by default.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { implementation, main } from './examine.mjs';

const by = (mode, expect) => async ({ url, token, command, args }) => {
  const client = new Client(implementation, { versionNegotiation: { mode } });
  await client.connect(url
    ? new StreamableHTTPClientTransport(url, { requestInit: { headers: { Authorization: `Bearer ${token}` } } })
    : new StdioClientTransport({ command, args }));
  return { client, version: client.getNegotiatedProtocolVersion(), expect };
};

await main('@modelcontextprotocol/client', {
  auto: by('auto', '2026-07-28'),
  pinned: by({ pin: '2026-07-28' }, '2026-07-28'),
  legacy: by('legacy', '2025-11-25'),
});
