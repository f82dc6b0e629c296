"""What every client written in Python is put through, whatever its package and transport.

A script gives `main` its ways of connecting, and is itself called with
    URL TOKEN          a server that listens
    COMMAND [ARG …]    one to be started, spoken to on its stdin and stdout
It prints one line per connection and exits with 0 or 1. TOOLS="a b c" in the environment is the list the server is to offer,
ARGUMENTS='{"a": {…}}' what these tools are called with.
"""

import asyncio
import json
import os
import sys
import traceback

import jsonschema

# For the tools that cannot do without.
ARGUMENTS = json.loads(os.environ.get("ARGUMENTS", "{}"))


def main(name, kinds):
    """`kinds`: what to call it → (a function of (url, token) or (None, command line) giving (context manager, list, call), revision)."""
    target, *rest = sys.argv[1:]
    over, arguments = ("http", (target, *rest)) if target.startswith("http") else ("stdio", (None, [target, *rest]))
    failed = False
    for kind, (connect, expect) in kinds.items():
        try:
            print(f"ok: {name} over {over}, {kind}:", asyncio.run(asyncio.wait_for(examine(connect(*arguments), expect), 60)))
        except Exception as error:
            failed = True
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            print(f"FAILED: {name} over {over}, {kind}: {''.join(traceback.format_exception(error))}")
    sys.exit(failed)


async def examine(client, expect):
    """`client`: an async context manager with list() → tools, call(name, arguments) → result, version()."""
    async with client:
        assert client.version() == expect, f"agreed upon {client.version()}, not {expect}"
        tools = await client.list()
        names = [tool.name for tool in tools]
        assert [tool.name for tool in await client.list()] == names, "the list has another order the second time"
        if wanted := os.environ.get("TOOLS"):
            assert names == wanted.split(), f"the list is not the expected one: {names}"
        for tool in tools:
            well_described(tool)

        seen = {}
        for tool in tools:
            result = await client.call(tool.name, ARGUMENTS.get(tool.name, {}))
            answered(tool, result)
            seen[tool.name] = result.structured_content.keys()

        try:
            await client.call("no_such_tool", {})
        except Exception as error:
            code = getattr(getattr(error, "error", error), "code", None)
            assert code == -32602, f"an unknown tool: {code} {error!r}"
        else:
            raise AssertionError("an unknown tool is no error")
        refused = await client.call(names[0], {"no_such_argument": 1})
        assert refused.is_error, "an unknown argument is accepted"
        assert "no_such_argument" in refused.content[0].text, f"it does not say which argument: {refused.content[0].text}"
        assert refused.structured_content is None, "a failure has structured content"

        # all at the same time: each answer must be that tool's
        calls = [tool for tool in tools for _ in range(3)]
        results = await asyncio.gather(*(client.call(tool.name, ARGUMENTS.get(tool.name, {})) for tool in calls))
        for tool, result in zip(calls, results, strict=True):
            answered(tool, result)
            assert result.structured_content.keys() == seen[tool.name], f"{tool.name} got another's answer"
        return f"{expect}, {len(tools)} tools, {len(tools) + len(calls)} calls"


def well_described(tool):
    assert len(tool.description or "") > 20, f"{tool.name} says nothing of itself"
    for schema in (tool.input_schema, tool.output_schema):
        assert schema["type"] == "object", f"{tool.name}: a schema is no plain object"
        jsonschema.Draft202012Validator.check_schema(schema)
    hints = tool.annotations
    assert hints.read_only_hint and hints.destructive_hint is False, f"{tool.name} acts, and the caller may only read"


def answered(tool, result):
    text = "\n".join(block.text for block in result.content if block.type == "text")
    assert not result.is_error, f"{tool.name} failed: {text}"
    assert len(text) > 10, f"{tool.name} has no text"
    jsonschema.validate(result.structured_content, tool.output_schema, jsonschema.Draft202012Validator)
    host = result.structured_content["host"]
    assert host and host in text, f"{tool.name} does not say in its text of which machine"
