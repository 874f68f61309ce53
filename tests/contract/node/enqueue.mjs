// Enqueue from Node as lua/README.md says: two plain commands, and one call. Prints what Redis answered.
import Redis from "ioredis";

const redis = new Redis(process.argv[2]);
const due = "{rs}:due:default";

const raw = await redis
  .multi()
  .hset("{rs}:task:default:node-raw", { type: "log", payload: JSON.stringify({ text: "raw from \u00fcber node" }), key: "k" })
  .zadd(due, "NX", 0, "node-raw")
  .exec();

const later = [1, "node-later", "+60000", 3, "type", "log", "payload", JSON.stringify({ n: 2 }), "request", "7f3a9c"];
const call = await redis.fcall(
  "rs1_enqueue", 1, due, 0,
  1, "node-call", 0, 3, "type", "log", "payload", JSON.stringify({ n: 1 }), "priority", "high",
  ...later,
);
const again = await redis.fcall("rs1_enqueue", 1, due, 0, ...later);

let refused = false;
try {
  await redis.fcall("rs1_enqueue", 1, due, 0, 1, "node-bad", 0, 1, "type", "log");
} catch (error) {
  refused = error.message.startsWith("RS_INVALID 1 ");
}

console.log(JSON.stringify({ raw: raw.map(([, reply]) => reply), call, again, refused }));
redis.disconnect();
