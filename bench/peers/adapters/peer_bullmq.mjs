// BullMQ: queue.add, addBulk of 1,000; a worker of concurrency 100 that keeps no finished jobs.
// The command line, payloads and records are those of shared.py. It loads BullMQ from PEER_HOME.
import fs from "node:fs";
import { createRequire } from "node:module";

const { Queue, Worker } = createRequire(`${process.env.PEER_HOME}/package.json`)("bullmq");
const connection = { host: "127.0.0.1", port: Number(process.env.PEER_PORT), maxRetriesPerRequest: null };
const [role, mode, count, lead, gap] = process.argv.slice(2);
const TEXT = "a payment of 1,250.00 INR to your account was received today".repeat(2);
const BATCH = 1000;
const OPTIONS = { removeOnComplete: true, removeOnFail: true };

function payload(number, dueMs = 0) {
  const spent = '{"number":,"due_ms":,"text":""}'.length + `${number}`.length + `${dueMs}`.length;
  return { number, due_ms: dueMs, text: TEXT.slice(0, 100 - spent) };
}

function payloads(length, due = () => 0) {
  return Array.from({ length: Number(length) }, (_, number) => payload(number, due(number)));
}

function jobs(items, delay = () => undefined) {
  return items.map((data) => ({ name: "noop", data, opts: { ...OPTIONS, delay: delay(data) } }));
}

async function one(queue, items) {
  for (const item of items) await queue.add("noop", item, OPTIONS);
}

async function bulk(queue, prepared) {
  for (let start = 0; start < prepared.length; start += BATCH) await queue.addBulk(prepared.slice(start, start + BATCH));
}

async function produce() {
  const queue = new Queue("bench", { connection });
  await queue.waitUntilReady();
  let answer;
  if (mode === "due") {
    const first = Date.now() + Number(lead);
    const items = payloads(count, (number) => first + Math.floor((number * Number(gap)) / 1000));
    for (let start = 0; start < items.length; start += BATCH)
      await queue.addBulk(jobs(items.slice(start, start + BATCH), (data) => Math.max(data.due_ms - Date.now(), 0)));
    answer = { first_ms: first, spare_ms: first - Date.now() };
  } else {
    const submit = mode === "one" ? one : bulk;
    const prepare = mode === "one" ? (items) => items : jobs;
    if (mode !== "fill") await submit(queue, prepare(payloads(BATCH)));
    const items = prepare(payloads(count));
    const began = process.hrtime.bigint();
    await submit(queue, items);
    answer = { seconds: Number(process.hrtime.bigint() - began) / 1e9 };
  }
  console.log(JSON.stringify(answer));
  process.exit(0);
}

async function work() {
  const file = fs.openSync(process.env.PEER_FILE, "a");
  const offset = BigInt(Date.now()) * 1000000n - process.hrtime.bigint();
  const worker = new Worker(
    "bench",
    async (job) => {
      const entry = Buffer.allocUnsafe(24);
      entry.writeBigInt64LE(BigInt(job.data.number), 0);
      entry.writeBigInt64LE(BigInt(job.data.due_ms), 8);
      entry.writeBigInt64LE(process.hrtime.bigint() + offset, 16);
      fs.writeSync(file, entry);
    },
    { connection, concurrency: 100 },
  );
  worker.on("error", (error) => console.error(error));
}

await (role === "work" ? work() : produce());
