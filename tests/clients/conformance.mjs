// The protocol's own conformance suite, on both eras, against a server that offers none of the suite's fixture tools.
//
//     node conformance.mjs URL TOKEN
// What cannot pass for want of such a tool stands in conformance-REVISION.yml, each with what it wants. Here that is held to be true:
// the server indeed lacks it, the suite indeed asks for it, and the scenario indeed fails (the suite refuses one that passes).

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const HERE = import.meta.dirname;
const SUITE = join(dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/package.json')), 'dist', 'index.js');
const ENTRY = /^ {2}- (\S+) # (tool|prompt|resource|capability|extension|keyword|header) (\S+)$/;

const [url, token] = process.argv.slice(2);
const proxy = spawn(process.execPath, [join(HERE, 'auth-proxy.mjs'), url, token], { stdio: ['pipe', 'pipe', 'inherit'] });
const through = await new Promise(first => createInterface(proxy.stdout).once('line', first));
const results = mkdtempSync(join(tmpdir(), 'conformance-'));
let failed = false;
try {
  const server = await ask();
  const suite = readFileSync(SUITE, 'utf8');
  for (const revision of ['2026-07-28', '2025-11-25']) {
    const baseline = join(HERE, `conformance-${revision}.yml`);
    const into = join(results, revision);
    const run = spawnSync(process.execPath, [SUITE, 'server', '--url', through, '--requirements', revision,
      '--expected-failures', baseline, '-o', into], { encoding: 'utf8', timeout: 300_000 });
    const said = (run.stdout + run.stderr).replace(/\x1b\[\d+m/g, '');
    const summary = said.slice(Math.max(0, said.indexOf('=== SUMMARY ===')));
    const complaints = [
      ...(run.status === 0 ? [] : [...unexpected(summary, into), summary]),
      ...unfounded(readFileSync(baseline, 'utf8'), summary, server, suite),
    ];
    complaints.forEach(complaint => console.log(complaint));
    failed ||= complaints.length > 0;
    const total = summary.match(/Total: (.*)/)?.[1];
    console.log(complaints.length ? `FAILED: conformance ${revision}: ${total}` : `ok: conformance ${revision}: ${total}, those for want of a fixture`);
  }
} finally {
  proxy.kill();
  rmSync(results, { recursive: true });
}
process.exit(failed ? 1 : 0);

/** What the checks of the scenarios that should not have failed say. */
function unexpected(summary, results) {
  const scenarios = [...summary.matchAll(/^  ✗ ([^\s:]+)/gm)].map(([, scenario]) => scenario);
  return scenarios.flatMap(scenario => readdirSync(results)
    .filter(name => name.startsWith(`server-${scenario}-2`))
    .flatMap(name => JSON.parse(readFileSync(join(results, name, 'checks.json'), 'utf8')))
    .filter(({ status }) => !['SUCCESS', 'INFO', 'SKIPPED'].includes(status))
    .map(check => `${scenario}: ${JSON.stringify(check, null, 1)}`));
}

/** What the server offers, as a plain client of the legacy era sees it. */
async function ask() {
  const call = async (method, params = {}) => {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
    return { headers: answer.headers, result: (await answer.json()).result ?? {} };
  };
  const initialized = await call('initialize', {
    protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'tests', version: '1.0.0' },
  });
  const all = await Promise.all(['tools', 'prompts', 'resources'].map(async kind => (await call(`${kind}/list`)).result[kind] ?? []));
  const [tools, prompts, resources] = all;
  assert(tools.length, 'the server lists no tool');
  return {
    capabilities: initialized.result.capabilities,
    headers: initialized.headers,
    schemas: JSON.stringify(tools.map(tool => tool.inputSchema)),
    names: { tool: tools.map(({ name }) => name), prompt: prompts.map(({ name }) => name), resource: resources.map(({ uri }) => uri) },
  };
}

/** The entries of a baseline that are not there for want of a fixture. */
function unfounded(baseline, said, server, suite) {
  const lacks = {
    tool: name => !server.names.tool.includes(name),
    prompt: name => !server.names.prompt.includes(name),
    resource: name => !server.names.resource.includes(name),
    capability: path => path.split('.').reduce((at, key) => at?.[key], server.capabilities) === undefined,
    extension: name => server.capabilities.extensions?.[name] === undefined,
    keyword: word => !server.schemas.includes(`"${word}"`),
    header: name => !server.headers.has(name),
  };
  const entries = baseline.split('\n').filter(line => line.startsWith('  - '));
  return entries.flatMap(line => {
    const [, scenario, kind, name] = line.match(ENTRY) ?? [];
    if (!scenario) return [`a baseline entry does not say what it wants: ${line}`];
    return [
      [lacks[kind](name), `${scenario}: the server has the ${kind} ${name}`],
      [suite.includes(name.split('.').at(-1)), `${scenario}: the suite knows no ${kind} ${name}`],
      [said.includes(`  ~ ${scenario}\n`), `${scenario}: stands in the baseline, and does not count as failed`],
    ].filter(([holds]) => !holds).map(([, complaint]) => complaint);
  });
}
