// The main job, by openapi-fetch on the types that openapi-typescript generated: the steps of tests/python/main_job.py.
// Every path, parameter, body and answer is checked by the compiler against the description.

import assert from "node:assert";
import { createInterface } from "node:readline/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type ItemType = components["schemas"]["ItemType"];

const [, , given] = process.argv;
assert(given);
const told: { api: string; receiver: string; admin_key: string; path: string } = JSON.parse(given);
const { receiver, path } = told;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function clientOf(key: string) {
  return createClient<paths>({ baseUrl: told.api, headers: { authorization: `Bearer ${key}` } });
}

/** What an answer holds where it is one of success. */
function taken<T>(answer: { data?: T; error?: unknown }): T {
  assert(answer.data !== undefined, JSON.stringify(answer.error));
  return answer.data;
}

async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  const ends = Date.now() + 240_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert(Date.now() < ends, `this did not come about: ${what}`);
    await new Promise(done => setTimeout(done, 200));
  }
}

async function passHours(hours: number): Promise<void> {
  console.log(JSON.stringify({ pass_hours: hours }));
  assert.equal((await lines.next()).value, "passed");
}

async function receiverAnswers(status: number): Promise<void> {
  const body = JSON.stringify({ path, answer: status });
  const answer = await fetch(`${receiver}/_/behaviours`, { method: "PUT", body });
  assert.equal(answer.status, 204);
}

const operator = clientOf(told.admin_key);
const account = taken(await operator.POST("/accounts", { body: { name: "Generated client" } }));
const client = clientOf(account.key);
const items: ItemType[] = ["message", "event", "contact"];
const url = `${receiver}${path}`;

const stranger = await clientOf("ck_wrong").POST("/webhooks", { body: { url, items } });
assert.equal(stranger.response.status, 401);
const wrong = await client.POST("/webhooks", { body: { url: "https://10.0.0.1/", items } });
assert(wrong.error && "errors" in wrong.error);
assert.deepEqual(wrong.error.errors?.map(one => one.field), ["url"]);

const created = taken(await client.POST("/webhooks", { body: { url, items, threshold: 3, log: "all" } }));
assert(created.secret.startsWith("whsec_"));
const webhook = created.id;
const at = { params: { path: { webhook } } };
assert.deepEqual(taken(await client.GET("/webhooks")).data.map(one => one.id), [webhook]);

async function send(type: "message" | "event" | "contact", body: components["schemas"]["Item"]): Promise<string> {
  const named = { params: { path: { bot: "bot" } }, body };
  if (type === "message") return taken(await client.POST("/bots/{bot}/messages", named)).id;
  if (type === "event") return taken(await client.POST("/bots/{bot}/events", named)).id;
  return taken(await client.POST("/bots/{bot}/contacts", named)).id;
}
async function status(type: ItemType) {
  const one = taken(await client.GET("/webhooks/{webhook}", at)).status[type];
  assert(one);
  return one;
}
async function attempts(outcome: "success" | "failure") {
  const asked = { params: { path: { webhook }, query: { outcome } } };
  return taken(await client.GET("/webhooks/{webhook}/attempts", asked)).data;
}

// All three types arrive.
for (const type of ["message", "event", "contact"] as const) {
  const item = await send(type, { text: `Olá, ${type}`, n: 1 });
  await until(`${item} is delivered`, async () => {
    const found = taken(await client.GET("/items/{item}", { params: { path: { item } } }));
    return found.webhooks.length === 1 && found.webhooks[0]?.state === "delivered";
  });
}
assert.deepEqual((await attempts("success")).map(one => [one.status, one.became]), Array(3).fill([200, "delivered"]));

// It fails: the streak, the block and its message, the log.
await receiverAnswers(503);
for (const number of [0, 1, 2]) await send("message", { number });
const blocked = await until("the block", async () => {
  const one = await status("message");
  return one.state === "blocked" && one;
});
assert.deepEqual([blocked.failures, blocked.threshold, blocked.last_error?.status], [3, 3, 503]);
assert(blocked.message?.["pt-BR"].includes("bloquead") && blocked.message.en.includes("blocked"));
await send("message", { number: 3 });
const listed = { params: { path: { webhook }, query: { type: "message" as const } } };
const held = await until("held items", async () => {
  const found = taken(await client.GET("/webhooks/{webhook}/held", listed)).data;
  return found.length === 4 && found.map(one => one.id);
});
assert.equal((await status("event")).state, "open");
const failed = await attempts("failure");
assert(failed.length === 3 && failed.every(one => one.status === 503 && one.message));

// Held for too long, they die; the URL is mended, and they are sent again.
const changed = taken(await client.PATCH("/webhooks/{webhook}", { ...at, body: { enabled: false } }));
assert.deepEqual([changed.enabled, changed.log, changed.threshold], [false, "all", 3]);
await passHours(26);
await until("dead items", async () => {
  const found = taken(await client.GET("/webhooks/{webhook}/dead", listed)).data.map(one => one.id);
  return found.sort().join() === [...held].sort().join();
});
taken(await client.PATCH("/webhooks/{webhook}", { ...at, body: { url: `${url}/mended`, enabled: true } }));
const replay = taken(await client.POST("/webhooks/{webhook}/replay", { ...at, body: { type: "message" } })).id;
const done = await until("the replay's end", async () => {
  const asked = { params: { path: { webhook, replay } } };
  const one = taken(await client.GET("/webhooks/{webhook}/replay/{replay}", asked));
  return one.state === "done" && one;
});
assert.deepEqual([done.found, done.delivered, done.dead], [4, 4, 0]);
assert.equal((await status("message")).state, "open");
const tested = taken(await client.POST("/webhooks/{webhook}/test", at));
assert.deepEqual([tested.outcome, tested.status], ["success", 200]);
const rotated = taken(await client.POST("/webhooks/{webhook}/secret", { ...at, body: { overlap_seconds: 0 } }));
assert.notEqual(rotated.secret, created.secret);

// All of it goes.
taken(await client.DELETE("/webhooks/{webhook}", at));
assert.equal((await client.GET("/webhooks/{webhook}", at)).response.status, 404);
taken(await operator.DELETE("/accounts/{account}", { params: { path: { account: account.id } } }));
assert.equal((await client.GET("/webhooks")).response.status, 401);
console.log(JSON.stringify({ done: true }));
process.exit(0);
