// Calls every tool, over and over, from twenty connections, up to five hundred times a second in all, always with the same request id.
//
//     node soak.mjs URL TOKEN SECONDS
// ARGUMENTS in the environment says what the tools are called with that cannot do without.
// Exits with 1 if one call fails, or is answered with what another tool answers.

import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const WORKERS = 20;
const PAUSE_MS = 40;
const ARGUMENTS = JSON.parse(process.env.ARGUMENTS ?? '{}');

const [url, token, seconds] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: WORKERS });
const end = performance.now() + seconds * 1000;
const took = [];

// of searches a caller has only so many a minute
const SEARCHES = ['file_find', 'file_grep', 'directory_usage'];
const tools = (await call('tools/list', {})).tools.filter(({ name }) => !SEARCHES.includes(name));
const required = Object.fromEntries(tools.map(({ name, outputSchema }) => [name, outputSchema.required.join()]));
assert.equal(new Set(Object.values(required)).size, tools.length, 'two tools cannot be told apart by what they answer');
await Promise.all(Array.from({ length: WORKERS }, async (_, worker) => {
  for (let turn = worker; performance.now() < end; turn++) {
    const { name } = tools[turn % tools.length];
    const began = performance.now();
    const result = await call('tools/call', { name, arguments: ARGUMENTS[name] ?? {} });
    assert(!result.isError, `${name}: ${JSON.stringify(result.content)}`);
    const missing = required[name].split(',').filter(key => !(key in result.structuredContent));
    assert.deepEqual(missing, [], `${name} was answered with ${Object.keys(result.structuredContent)}`);
    took.push(performance.now() - began);
    await sleep(PAUSE_MS);
  }
}));
agent.destroy();
took.sort((a, b) => a - b);
const at = share => took[Math.floor(took.length * share)].toFixed(1);
console.log(`ok: ${took.length} calls in ${seconds} s, none failed; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);

function call(method, params) {
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      method: 'POST', agent,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' },
    }, async answer => {
      try {
        const text = Buffer.concat(await Array.fromAsync(answer)).toString();
        assert.equal(answer.statusCode, 200, text);
        resolve(JSON.parse(text).result ?? assert.fail(text));
      } catch (error) {
        reject(error);
      }
    });
    asked.on('error', reject);
    asked.end(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
  });
}
