// Adds credentials to whatever passes: for testers that cannot send any (the conformance suite).
//
//     node auth-proxy.mjs URL TOKEN
// listens on a free port of the loopback, prints its own URL as its first line, and ends with its stdin. Host and Origin pass as
// they came, since some tests are about them, and so does every byte of the bodies and of a stream.

import { createServer, request } from 'node:http';
import { pipeline } from 'node:stream';

const [url, token] = process.argv.slice(2);
const { hostname, port, pathname } = new URL(url);
const done = () => {};

const proxy = createServer((asked, answer) => {
  const onward = request({
    hostname, port, path: asked.url, method: asked.method, setHost: false,
    headers: { ...asked.headers, authorization: `Bearer ${token}` },
  });
  onward.on('response', given => {
    answer.writeHead(given.statusCode, given.headers);
    answer.flushHeaders();
    pipeline(given, answer, done);
  });
  onward.on('error', error => {
    if (!answer.headersSent) answer.writeHead(502);
    answer.end(`${error}`);
  });
  answer.on('close', () => onward.destroy());
  pipeline(asked, onward, done);
});
proxy.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${proxy.address().port}${pathname}`));
process.stdin.resume().on('end', () => process.exit());
