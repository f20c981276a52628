import { Agent, request } from 'node:http'
import { CONVERSATION_PREFIX, jsonTurn, protobufTurn, TURN_TIMESTAMP } from '../otlp/codex-turn.ts'

/**
 * node otlp-client.ts URL protobuf|json RECORDS BATCH FIRST FROM_MS: sends Codex-like batches over a few
 * kept connections and prints how many records were acknowledged. Every batch has conversations of its
 * own and is a second later than the one before; their numbers begin with FIRST, their time with FROM_MS.
 */
const [url = '', encoding, ...numbers] = process.argv.slice(2)
const [records = 0, batch = 1, first = 0, from_ms = 0] = numbers.map(Number)
const CONNECTIONS = 4
const OBSERVED_FROM_NS = 1_795_500_000_000_000_000n
const MILLISECOND_NS = 1_000_000n

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
const type = encoding === 'json' ? 'application/json' : 'application/x-protobuf'
let sent = 0
let acknowledged = 0

/** Encoding costs more than receiving: a body is made once, and each time ids and instants are put in. */
function createBody(): { renew(number: number): Buffer } {
  const build = encoding === 'json' ? jsonTurn : protobufTurn
  const body = build({ records: batch, observed_from_ns: OBSERVED_FROM_NS })
  const conversations = placesOf(body, CONVERSATION_PREFIX)
  const stamps = placesOf(body, TURN_TIMESTAMP)
  const instant = (ns: bigint) => (encoding === 'json' ? Buffer.from(String(ns)) : fixed64(ns))
  const nsOf = (at_ms: number, index: number) => (BigInt(at_ms) + BigInt(index)) * MILLISECOND_NS
  const observed = Array.from({ length: batch }, (_, index) =>
    body.indexOf(instant(OBSERVED_FROM_NS + BigInt(index) * MILLISECOND_NS)),
  )
  return {
    renew(number) {
      const at_ms = from_ms + number * 1_000
      const id = number.toString(16).padStart(CONVERSATION_PREFIX.length, '0')
      for (const at of conversations) body.write(id, at, 'latin1')
      for (const at of stamps) body.write(new Date(at_ms).toISOString(), at, 'latin1')
      for (const [index, at] of observed.entries()) instant(nsOf(at_ms, index)).copy(body, at)
      return body
    },
  }
}

function placesOf(body: Buffer, text: string): number[] {
  const places: number[] = []
  for (let at = body.indexOf(text); at >= 0; at = body.indexOf(text, at + 1)) places.push(at)
  return places
}

function fixed64(ns: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(ns)
  return bytes
}

async function runConnection(): Promise<void> {
  const { renew } = createBody()
  while (sent < records) {
    const number = first + sent / batch
    sent += batch
    await send(renew(number))
    acknowledged += batch
  }
}

function send(body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': type, 'content-length': body.length }
    const out = request(url, { agent, method: 'POST', headers }, (incoming) => {
      if (incoming.statusCode !== 200) reject(new Error(`status ${incoming.statusCode}`))
      incoming.resume().once('end', resolve)
    })
    out.once('error', reject).end(body)
  })
}

await Promise.all(Array.from({ length: CONNECTIONS }, runConnection))
agent.destroy()
console.log(JSON.stringify({ acknowledged }))
