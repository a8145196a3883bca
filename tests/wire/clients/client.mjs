// Node's fetch. Arguments are name=URL; every exchange prints one line of JSON.
// Not here: what is right; test_clients.py knows that.

import { subscribe } from "node:diagnostics_channel";

const BODY = '{"email":"you@example.com"}';
const LARGE = "x".repeat(500_000);
const SIGN_IN = "/api/v1/signin";
const HEALTH = "/healthz";

const post = (body, more) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body, ...more });
// A stream has no length, so that it is sent chunked.
const stream = (text) => post(new Blob([text]).stream(), { duplex: "half" });
const EXCHANGES = [
  ["signin", SIGN_IN, () => post(BODY)],
  ["again", HEALTH, () => ({})],
  ["head", HEALTH, () => ({ method: "HEAD" })],
  ["chunked", SIGN_IN, () => stream(BODY)],
  ["large", SIGN_IN, () => post(LARGE)],
  ["large-chunked", SIGN_IN, () => stream(LARGE)],
  ["after", HEALTH, () => ({})],
  ["empty", SIGN_IN, () => post()],
];

let connection = null;
subscribe("undici:client:sendHeaders", ({ socket }) => {
  connection = socket.localPort;
});

for (const given of process.argv.slice(2)) {
  const [target, url] = given.split("=");
  for (const [exchange, path, request] of EXCHANGES) {
    const line = { client: "node", target, exchange, status: 0, type: "", body: "" };
    try {
      const answer = await fetch(url + path, { ...request(), signal: AbortSignal.timeout(5000) });
      line.type = answer.headers.get("content-type");
      line.body = Buffer.from(await answer.arrayBuffer()).toString("base64");
      line.status = answer.status;
    } catch (error) {
      line.type = String(error.cause ?? error);
    }
    console.log(JSON.stringify({ ...line, connection }));
  }
}
