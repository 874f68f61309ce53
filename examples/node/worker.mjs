// A worker: it claims tasks that are ready, runs their handlers, and tells how each run ended.
// It needs a mover beside it (mover.mjs, or any other), which makes due tasks ready.
import os from 'node:os'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import Redis from 'ioredis'

const url = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379/0'
const namespace = process.env.NAMESPACE ?? 'rs'
const queues = (process.env.QUEUES ?? 'default').split(',')      // 16 at most, in the order in which they are served
const slots = Number(process.env.CONCURRENCY ?? 10)              // handlers at one time
const lease = Number(process.env.LEASE_MS ?? 30000)              // how long a task is ours unless we renew
const patience = Number(process.env.GRACE_MS ?? 20000)           // how long running handlers may go on when we stop

// A handler that cannot use its task, or wants it later, throws one of these: Outcome('dead', why), Outcome('snooze', ms).
class Outcome extends Error {
  constructor(word, detail = '') { super(`${word} ${detail}`); this.words = [word, String(detail)] }
}

// Type -> handler. What a handler returns is the task's result. `signal` fires when it has to stop.
const handlers = {
  log: async ({ id, payload }) => { console.log('payload of', id, JSON.stringify(payload)) },
  fail: async () => { throw new Error('this handler always fails') },
  sleep: async ({ payload, signal }) => {
    if (!Number.isInteger(payload?.ms)) throw new Outcome('dead', 'payload')
    await sleep(payload.ms, null, { signal })
    return { slept: payload.ms }
  },
}

const consumer = `${os.hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
const key = (kind, queue) => `{${namespace}}:${kind}:${queue}`
const dueKeys = queues.map(queue => key('due', queue))           // a queue's number in every call is its place in here
const ready = queues.flatMap((queue, at) => [['high', ':high'], ['normal', ''], ['low', ':low']]
  .map(([priority, end]) => ({ number: at + 1, priority, stream: key('ready', queue) + end })))

// Leases are counted by the time since boot: it goes on while this process is stopped, and nobody can set it.
const clock = () => os.uptime() * 1000
const left = 'the worker stopped'
const held = new Map()                                           // token -> task that this worker holds
let stopping = false
let wake = () => {}                                              // ends the wait for a free slot

// A lost connection fails all calls at once. Who needs an answer repeats the call with the same words.
const options = { maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, keepAlive: 10000, protocol: 2 }
const redis = new Redis(url, { ...options, commandTimeout: 5000 })
const bells = new Redis(url, { ...options, commandTimeout: 15000 })   // 5 s more than the read blocks
redis.on('error', () => {})                                      // each call sees its own error
bells.on('error', () => {})

const fcall = (verb, keys, ...words) => redis.callBuffer('FCALL', `rs1_${verb}`, keys.length, ...keys, ...words)
const refused = error => error.name === 'ReplyError'             // Redis answered, with an error; else there was no answer
const passing = new RegExp('^(LOADING|BUSY |MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|UNBLOCKED|READONLY|OOM|MISCONF' +
  '|ERR max number|ERR Function not found)')

// Once more, with the same words, until there is an answer: the verbs take a repeat for what it is.
async function surely(verb, keys, ...words) {
  for (let told = false; ; told = true) {
    const sent = clock()
    try {
      return Object.assign(await fcall(verb, keys, ...words), { sent })
    } catch (error) {
      if (refused(error) && !passing.test(error.message)) throw error
      if (!told) console.error(`rs1_${verb} is repeated: ${error.message}`)
      // A connection that does not answer, or leads to a replica, is not worth keeping.
      if (/timed out|READONLY/.test(error.message)) redis.disconnect(true)
      await sleep(500)
    }
  }
}

// Blocking reads need the consumer groups. This is done again when somebody has flushed the database.
async function join() {
  await redis.sadd(`{${namespace}}:queues`, ...queues)
  for (const { stream } of ready) {
    await redis.xgroup('CREATE', stream, 'workers', '0', 'MKSTREAM')
      .catch(error => { if (!error.message.startsWith('BUSYGROUP')) throw error })
  }
}

// Wait until an entry arrives. It is only a bell: the next claim is told of it, and finds the tasks itself.
async function listen() {
  try {
    const streams = ready.map(({ stream }) => stream)
    const reply = await bells.call('XREADGROUP', 'GROUP', 'workers', consumer, 'COUNT', 1, 'BLOCK', 10000,
      'STREAMS', ...streams, ...streams.map(() => '>'))
    return (reply ?? []).flatMap(([stream, entries]) => entries.flatMap(([entry, fields]) => {
      const { number, priority } = ready.find(one => one.stream === stream)
      return [number, `${priority}/${entry}`, fields[fields.indexOf('id') + 1]]
    }))
  } catch (error) {
    if (stopping) return []
    if (/^(NOAUTH|WRONGPASS|NOPERM)/.test(error.message)) throw error
    if (/timed out/.test(error.message)) bells.disconnect(true)
    await sleep(200)
    if (/^NOGROUP/.test(error.message)) await join().catch(() => {})
    return []
  }
}

// Claim as many tasks as there are free slots, as long as there are any; then listen for the bell.
async function serve() {
  let bell = []
  while (!stopping) {
    const free = slots - held.size
    if (free <= 0) {
      await new Promise(resolve => { wake = resolve })
      continue
    }
    const nonce = randomBytes(8).toString('hex')
    const sent = clock()                                         // the lease began later than this, however often we repeat
    let reply
    try {
      reply = await surely('claim', dueKeys, 0, consumer, nonce, free, lease, ...bell)
    } catch (error) {
      if (/^(NOAUTH|WRONGPASS|NOPERM|RS_)/.test(error.message)) throw error
      console.error(`no claim: ${error.message}`)                // such as WRONGTYPE: a key of ours is broken
      await sleep(1000)
      if (/^NOGROUP/.test(error.message)) await join().catch(() => {})
      continue
    }
    bell = []
    const [now, more, ...tasks] = reply
    // What time it is for Redis, at the latest. `now` is of the answer, so it counts from the last time that we asked.
    const time = () => Number(now) + clock() - reply.sent
    for (const words of tasks) start(words, nonce, sent + lease, time)
    if (tasks.length < free && !more && !stopping) bell = await listen()
  }
}

// One task of a claim: from here on it is in `held`, so it is renewed, until its end is settled.
function start(words, nonce, until, time) {
  const [number, id, attempt, , type, payload, timeout, headers, , contentType, , expiresAt] = words
  const text = word => word?.toString() ?? null
  const task = {
    number, id: text(id), attempt, type: text(type), payload, headers: text(headers), token: `${attempt}.${nonce}`,
    json: /[/+]json$/.test((text(contentType) ?? 'application/json').split(';')[0].trim()),
    timeout: Number(text(timeout) ?? 60000), until, told: false, why: null, stop: new AbortController(),
  }
  held.set(task.token + number + task.id, task)
  const late = expiresAt != null && time() >= Number(text(expiresAt))
  run(task, late)
    .catch(error => console.error(`${task.id} is left to its lease: ${error.message}`))
    .finally(() => { held.delete(task.token + number + task.id); wake() })
}

async function run(task, late) {
  if (clock() >= task.until) return                              // somebody else may have it by now
  if (stopping || late) return settle(task, 'return')            // a task past its start-by ends as expired here
  if (!Object.hasOwn(handlers, task.type)) return settle(task, 'return', 'unhandled')
  const stop = why => { task.why ??= why; task.stop.abort() }
  task.halt = stop
  const limit = setTimeout(stop, task.timeout, 'time limit')
  const begun = setTimeout(() => renew([task]), 100)             // many handlers end sooner: those need not tell
  try {
    let { payload } = task
    if (task.json) try { payload = JSON.parse(payload) } catch { throw new Outcome('dead', 'payload') }
    const headers = task.headers ? JSON.parse(task.headers) : {}
    const work = handlers[task.type]({ id: task.id, attempt: task.attempt, payload, headers, signal: task.stop.signal })
    const result = await Promise.race([work, givenUp(task)])
    await end(task, 'complete', result === undefined ? '' : JSON.stringify(result))
  } catch (error) {
    if (task.why === 'cancel') await end(task, 'cancelled')
    else if (error instanceof Outcome) await end(task, ...error.words)
    else await end(task, 'retry', task.why === left ? 0 : '', cut(task.why ?? error.message, 4000), cut(error.stack ?? '', 8000))
  } finally {
    clearTimeout(limit)
    clearTimeout(begun)
  }
}

// A handler that does not heed its signal is given up after a while. JavaScript cannot end it.
const givenUp = task => new Promise((_, reject) => task.stop.signal.addEventListener('abort', () =>
  setTimeout(reject, 5000, new Error('the handler did not stop')).unref()))
const cut = (text, bytes) => Buffer.from(String(text)).subarray(0, bytes).toString().replace(/\uFFFD$/, '')

async function end(task, ...outcome) {
  if (task.why !== 'lost') await settle(task, ...outcome)
}

async function settle(task, outcome, a = '', b = '', c = '') {
  task.ending = true
  const [word] = await surely('settle', [dueKeys[task.number - 1]], 0, 1, task.id, task.token, outcome, a, b, c)
  console.log(`${task.id} attempt ${task.attempt}: ${[outcome, a].filter(x => x !== '').join(' ')} -> ${word}`)
}

// Extend leases. The first time it also tells that the handler has begun: from then on a crash uses up an attempt.
async function renew(tasks) {
  if (!tasks.length) return
  const sent = clock()
  const words = tasks.flatMap(task => [task.number, task.id, (task.told ? '' : 'begun/') + task.token])
  const replies = await fcall('renew', dueKeys, 0, lease, ...words).catch(() => [])   // no answer: a later renewal is as good
  replies.forEach((reply, at) => {
    const task = tasks[at]
    const word = reply.toString()
    if (word === 'lost') { if (!task.ending) task.halt('lost') }
    else {
      task.told = true
      task.until = sent + lease
      if (word === 'cancel') task.halt('cancel')
    }
  })
}

async function stop() {
  if (stopping) return
  stopping = true                                                // claim no more; what a claim under way brings is returned
  console.log('stopping')
  bells.disconnect()
  wake()
  const last = clock() + patience
  while (held.size && clock() < last) await sleep(50)
  for (const task of held.values()) task.halt?.(left)            // the rest runs again, elsewhere
  while (held.size && clock() < last + 10000) await sleep(50)
  await Promise.race([serving.catch(() => {}), sleep(5000)])       // it may be waiting for a Redis that is gone
  await fcall('leave', dueKeys, consumer).catch(error => console.error(`no leave: ${error.message}`))
  process.exit(0)
}

process.on('SIGTERM', stop)
process.on('SIGINT', stop)
setInterval(() => renew([...held.values()].filter(task => task.halt)), lease / 3)

const serving = (async () => {
  for (;;) {
    try { await join(); break } catch (error) {
      if (refused(error) && !passing.test(error.message)) throw error
      if (stopping) return
      await sleep(500)
    }
  }
  console.log(`${consumer} serves ${queues.join(', ')}`)
  await serve()
})()
serving.catch(error => { console.error(error.message); process.exit(1) })
