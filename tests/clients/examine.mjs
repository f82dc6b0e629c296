// What every client written in JavaScript is put through, whatever its package and transport.
//
// A script gives `main` a function that connects, and is itself called with
//     URL TOKEN          a server that listens
//     COMMAND [ARG …]    one to be started, spoken to on its stdin and stdout
// It prints one line per connection and exits with 0 or 1. TOOLS="a b c" in the environment is the list the server is to offer,
// ARGUMENTS='{"a": {…}}' what these tools are called with.

import assert from 'node:assert/strict';

/** For the tools that cannot do without. */
const ARGUMENTS = JSON.parse(process.env.ARGUMENTS ?? '{}');

export const implementation = { name: 'tests', version: '1.0.0' };

export async function main(name, kinds) {
  const [first, ...rest] = process.argv.slice(2);
  assert(first, `usage: ${name} (URL TOKEN | COMMAND [ARG …])`);
  const target = first.startsWith('http') ? { url: new URL(first), token: rest[0] } : { command: first, args: rest };
  const by = target.url ? 'http' : 'stdio';
  let failed = false;
  for (const [kind, connect] of Object.entries(kinds)) {
    try {
      console.log(`ok: ${name} over ${by}, ${kind}: ${await examine(await connect(target))}`);
    } catch (error) {
      failed = true;
      console.log(`FAILED: ${name} over ${by}, ${kind}: ${error.stack ?? error}`);
    }
  }
  process.exit(failed ? 1 : 0);
}

/** `client` has listTools, callTool and close, as both packages call them; `version` is the revision that was agreed upon. */
async function examine({ client, version, expect }) {
  if (expect) assert.equal(version, expect, 'the revision agreed upon');
  assert.equal(client.getServerVersion()?.name, 'systemmanager-mcp');

  const { tools } = await client.listTools();
  const names = tools.map(tool => tool.name);
  const again = (await client.listTools()).tools.map(tool => tool.name);
  assert.deepEqual(again, names, 'the list has another order the second time');
  if (process.env.TOOLS) assert.deepEqual(names, process.env.TOOLS.split(' '), 'the list is not the expected one');
  tools.forEach(wellDescribed);

  const seen = {};
  for (const tool of tools) {
    const result = await client.callTool({ name: tool.name, arguments: ARGUMENTS[tool.name] ?? {} });
    answered(tool, result);
    seen[tool.name] = Object.keys(result.structuredContent).sort();
  }

  await assert.rejects(client.callTool({ name: 'no_such_tool', arguments: {} }), error => {
    assert.equal(error.code, -32602, `an unknown tool: ${error}`);
    return true;
  }, 'an unknown tool is no error');
  const refused = await client.callTool({ name: names[0], arguments: { no_such_argument: 1 } });
  assert.equal(refused.isError, true, 'an unknown argument is accepted');
  assert(refused.content[0].text.includes('no_such_argument'), `it does not say which argument: ${refused.content[0].text}`);
  assert.equal(refused.structuredContent, undefined, 'a failure has structured content');

  // all at the same time: each answer must be that tool's
  const calls = tools.flatMap(tool => [tool, tool, tool]);
  const results = await Promise.all(calls.map(({ name }) => client.callTool({ name, arguments: ARGUMENTS[name] ?? {} })));
  calls.forEach((tool, at) => {
    answered(tool, results[at]);
    assert.deepEqual(Object.keys(results[at].structuredContent).sort(), seen[tool.name], `${tool.name} got another's answer`);
  });

  await client.close();
  return `${version}, ${names.length} tools, ${tools.length + calls.length} calls`;
}

function wellDescribed(tool) {
  const { name, inputSchema, outputSchema, annotations } = tool;
  assert(tool.description?.length > 20, `${name} says nothing of itself`);
  assert(tool.title ?? annotations?.title, `${name} has no title`);
  for (const [which, schema] of Object.entries({ inputSchema, outputSchema })) {
    assert.equal(schema?.type, 'object', `${name}: its ${which} is no plain object`);
    for (const word of ['anyOf', 'oneOf', 'allOf', '$ref']) assert(!(word in schema), `${name}: its ${which} begins with ${word}`);
  }
  assert.equal(inputSchema.additionalProperties, false, `${name} takes any argument`);
  for (const hint of ['readOnlyHint', 'destructiveHint', 'idempotentHint', 'openWorldHint']) {
    assert.equal(typeof annotations?.[hint], 'boolean', `${name} does not say its ${hint}`);
  }
  assert(annotations.readOnlyHint && !annotations.destructiveHint, `${name} acts, and the caller may only read`);
}

/** That it agrees with its schema has been seen by the client itself, which throws. */
function answered(tool, result) {
  const text = result.content?.filter(block => block.type === 'text').map(block => block.text).join('\n');
  assert(!result.isError, `${tool.name} failed: ${text}`);
  assert(text?.length > 10, `${tool.name} has no text`);
  assert.equal(typeof result.structuredContent, 'object', `${tool.name} has no structured content`);
  const { host } = result.structuredContent;
  assert(host, `${tool.name} does not say of which machine`);
  assert(text.includes(host), `${tool.name} does not say in its text of which machine`);
}
