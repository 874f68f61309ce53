// A mover: it makes due tasks ready, takes back what dead workers held, takes in inboxes, and removes what has had its time.
// It runs no tasks and fires no schedules. Start as many as you like: one acts, the others stand by.
import os from 'node:os'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import Redis from 'ioredis'

const url = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379/0'
const namespace = process.env.NAMESPACE ?? 'rs'
const only = process.env.QUEUES?.split(',')                      // without it: all queues that there are
const lease = Number(process.env.LEASE_MS ?? 30000)              // the longest lease that your workers take
const name = `${os.hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`

const key = (kind, queue) => `{${namespace}}:${kind}:${queue}`
const agenda = `{${namespace}}:agenda`
const clock = () => performance.now()
const grammar = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$/            // a key of any client may look like a queue's
const heartbeat = 900                                            // who acts has to say so once a second

// Queue -> when to promote, reap, ingest and sweep it next, by `clock`.
const queues = new Map()
let attendAt = 0
let findAt = 0
let sweepAt = 0
let acting = null
let polling = false                                              // the server does not let us track keys
let offset = null                                                // the server's clock minus ours
let quiet = 0                                                    // take nothing back before
let stopping = false
let wake = () => {}

// A lost connection fails all calls at once; every call of a mover may be repeated, so the next turn does.
const options = { maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, keepAlive: 10000, commandTimeout: 5000,
  protocol: 2 }
const redis = new Redis(url, options)
const pushes = new Redis(url, { ...options, autoResubscribe: false })
redis.on('error', () => {})
pushes.on('error', () => {})

const fcall = (verb, keys, ...words) => redis.call('FCALL', `rs1_${verb}`, keys.length, ...keys, ...words)
const until = (time, now) => time < 0 ? Infinity : clock() + Math.max(0, time - now)   // a time of the server's, by our clock

function know(queue) {
  if (queues.has(queue) || !grammar.test(queue) || (only && !only.includes(queue))) return
  queues.set(queue, { promote: 0, reap: quiet, ingest: 0, sweep: 0, rest: 0 })
}

// After a time in which we heard nothing, anything may have been written.
function lookEverywhere() {
  attendAt = 0
  for (const queue of queues.values()) queue.promote = queue.ingest = 0
  wake()
}

// Who acts is known from each reply of promote, as is the server's time.
function heard(now, acts) {
  const before = offset
  offset = now - clock()
  if (before !== null && Math.abs(offset - before) > 2000) {
    // The server's clock jumped: leases look ended that are not. Their workers renew them within one lease.
    console.error(`the server's clock jumped by ${Math.round(offset - before)} ms`)
    for (const queue of queues.values()) queue.reap = clock() + lease
    quiet = clock() + lease
  }
  if (acts === acting) return
  acting = acts
  console.log(acting ? 'acting' : 'standing by')
  if (acting) lookEverywhere()                                   // as a stand-by we did not follow pushes
}

// Call `work` for up to 16 queues at a time. Where one of them has a key of a wrong type, find it and let it rest.
async function batches(names, work) {
  for (let at = 0; at < names.length; at += 16) {
    const batch = names.slice(at, at + 16)
    try {
      await work(batch, batch.map(queue => key('due', queue)))
    } catch (error) {
      if (!/^WRONGTYPE/.test(error.message)) throw error
      if (batch.length > 1) for (const queue of batch) await batches([queue], work)
      else {
        console.error(`queue ${batch[0]} rests for a minute: ${error.message}`)
        queues.get(batch[0]).rest = clock() + 60000
      }
    }
  }
}
const dueNow = what => [...queues].filter(([, queue]) => Math.max(queue[what], queue.rest) <= clock()).map(([queue]) => queue)

async function promote() {
  const all = dueNow('promote')
  await batches(all, async (names, keys) => {
    // A push that comes during the call sets the time again.
    for (const queue of names) queues.get(queue).promote = Infinity
    const [now, acts, ...rest] = await fcall('promote', keys, 0, 100, name)
    heard(now, acts === 1)
    const moved = names.reduce((sum, _, at) => sum + rest[3 * at], 0)   // the limit is shared by the queues
    names.forEach((queue, at) => {
      const [, nextDue, nextLease] = rest.slice(3 * at, 3 * at + 3)
      const state = queues.get(queue)
      // Another one acts: it is faster. Look later, in case it has died.
      const due = moved >= 100 ? 0 : until(nextDue, now) + (acting ? 0 : 150)
      state.promote = Math.min(state.promote, due, clock() + (polling ? 100 : heartbeat))
      state.reap = Math.min(state.reap, Math.max(quiet, until(nextLease, now) + (acting ? 0 : 150)))
    })
  }).catch(error => { for (const queue of all) queues.get(queue).promote = 0; throw error })
}

async function reap() {
  await batches(dueNow('reap'), async (names, keys) => {
    const [now, ...rest] = await fcall('reap', keys, 0, 100)
    const reaped = names.reduce((sum, _, at) => sum + rest[2 * at], 0)
    if (reaped) console.log(`took back ${reaped} from ${names.join(', ')}`)
    names.forEach((queue, at) => {
      // At least now and then: a lease that is impossibly far away is cut by this call only.
      const next = reaped >= 100 ? 0 : until(rest[2 * at + 1], now)
      queues.get(queue).reap = Math.min(Math.max(next, clock() + 20), clock() + 30000)
    })
  })
}

async function attend() {
  if (attendAt > clock()) return
  attendAt = Infinity                                            // a push during the call sets it again
  const [now, , next] = await fcall('attend', [agenda], 0, 20).catch(error => {
    attendAt = /^WRONGTYPE/.test(error.message) ? clock() + 60000 : 0
    throw error
  })
  attendAt = Math.min(attendAt, until(next === 0 ? now : next, now) + (acting ? 0 : 150), polling ? clock() + 100 : Infinity)
}

async function ingest() {
  const names = dueNow('ingest')
  for (const queue of names) queues.get(queue).ingest = polling ? clock() + 100 : Infinity
  await batches(names, async (batch, keys) => {
    const [, ...rest] = await fcall('ingest', keys, 0, 100)
    batch.forEach((queue, at) => {
      const [created, refused, left] = rest.slice(3 * at, 3 * at + 3)
      if (created + refused) console.log(`inbox of ${queue}: ${created} made, ${refused} refused`)
      if (left > 0) queues.get(queue).ingest = 0
    })
  }).catch(error => { for (const queue of names) queues.get(queue).ingest = 0; throw error })
}

// The scripts note in `sweeps` when a queue has something to remove. Once an hour without a note: notes may be lost.
async function sweep() {
  if (offset === null) return
  const noted = await redis.zrangebyscore(`{${namespace}}:sweeps`, '-inf', Math.floor(clock() + offset), 'LIMIT', 0, 100)
    .catch(error => { if (/^WRONGTYPE/.test(error.message)) return []; throw error })
  for (const queue of noted) if (queues.has(queue)) queues.get(queue).sweep = 0
  await batches(dueNow('sweep'), async (names, keys) => {
    const [removed, more] = await fcall('sweep', keys, 0, 100)
    if (removed) console.log(`swept ${removed} from ${names.join(', ')}`)
    for (const queue of names) queues.get(queue).sweep = more ? 0 : clock() + 3600000
  })
}

// Plain commands make queues that nobody entered, so the keys tell as well.
async function find() {
  const found = new Set(await redis.smembers(`{${namespace}}:queues`))
  for (const kind of ['due', 'inbox']) {
    const start = key(kind, '')
    let cursor = '0'
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', start + '*', 'COUNT', 1000)
      for (const one of keys) {
        const queue = one.slice(start.length)
        found.add(queue)
        if (kind === 'inbox' && queues.has(queue)) queues.get(queue).ingest = 0
      }
      cursor = next
    } while (cursor !== '0')
  }
  for (const queue of queues.keys()) if (!found.has(queue) && !only) queues.delete(queue)
  for (const queue of only ?? found) know(queue)
  wake()
}

// Redis tells which keys were written. With RESP2 it does so as messages, to a connection that subscribes to them: to itself.
async function track() {
  const prefixes = [key('due', ''), key('inbox', ''), agenda].flatMap(prefix => ['PREFIX', prefix])
  try {
    const id = await pushes.client('ID')
    await pushes.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, 'BCAST', ...prefixes)
    await pushes.subscribe('__redis__:invalidate')
    polling = false
  } catch (error) {
    if (error.name !== 'ReplyError') return                      // the connection is gone: `ready` comes again
    console.error(`no tracking, so looking each 100 ms: ${error.message}`)
    polling = true
  }
  lookEverywhere()
}
pushes.on('ready', track)
pushes.on('messageBuffer', (_, keys) => {
  if (keys === null) {                                           // the database was flushed
    findAt = 0
    return lookEverywhere()
  }
  const soonest = clock() + 3                                    // more of them may come
  for (const one of [keys].flat().map(String)) {
    if (one === agenda && acting) attendAt = Math.min(attendAt, soonest)
    const [, kind, queue] = one.slice(namespace.length + 2).match(/^:(due|inbox):(.*)$/s) ?? []
    if (!kind) continue
    know(queue)
    const what = kind === 'due' ? 'promote' : 'ingest'
    const state = queues.get(queue)
    if (state && acting) state[what] = Math.min(state[what], soonest)
  }
  wake()
})
// A connection can die without a word, and then no push comes.
setInterval(() => pushes.ping().catch(() => pushes.status === 'ready' && pushes.disconnect(true)), 5000)

async function turn() {
  if (clock() >= findAt) {
    findAt = clock() + 60000
    await find().catch(error => { findAt = 0; throw error })
  }
  await promote()
  await reap()
  await attend()
  await ingest()
  if (clock() >= sweepAt) {
    sweepAt = clock() + 5000
    await sweep()
  }
  const times = [...queues.values()].map(queue => Math.max(queue.rest, Math.min(queue.promote, queue.reap, queue.ingest)))
  const pause = Math.min(heartbeat, attendAt - clock(), ...times.map(time => time - clock()))
  if (pause > 0 && !stopping) {
    await new Promise(resolve => { wake = resolve; setTimeout(resolve, Math.max(1, pause)) })
    wake = () => {}
  }
}

for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { stopping = true; wake() })
for (let told = ''; !stopping;) {
  try {
    await turn()
    told = ''
  } catch (error) {
    // Most errors pass: no connection, a server that loads or is busy, no library yet (`redsched install`).
    if (error.message !== told) console.error(told = error.message)
    if (/^(NOAUTH|WRONGPASS|NOPERM|RS_)/.test(error.message)) process.exit(1)
    if (/timed out|READONLY/.test(error.message)) redis.disconnect(true)
    await sleep(500)
  }
}
process.exit(0)
