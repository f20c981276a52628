import { Agent, request } from 'node:http'
import { CONVERSATION_PREFIX, jsonTurn, protobufTurn } from '../otlp/codex-turn.ts'

/**
 * node otlp-client.ts URL protobuf|json RECORDS BATCH PREFIX: sends Codex-like batches over a few kept
 * connections, every one of conversations of its own, and prints how many records were acknowledged.
 */
const [url = '', encoding, records_text, batch_text, prefix = ''] = process.argv.slice(2)
const records = Number(records_text)
const batch = Number(batch_text)
const CONNECTIONS = 4
const OBSERVED_FROM_NS = 1_795_500_000_000_000_000n

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
const type = encoding === 'json' ? 'application/json' : 'application/x-protobuf'
let sent = 0
let acknowledged = 0

/** Encoding costs more than receiving: a body is made once, and each time other ids are put in. */
function createBody(): { renew(number: number): Buffer } {
  const build = encoding === 'json' ? jsonTurn : protobufTurn
  const body = build({ records: batch, observed_from_ns: OBSERVED_FROM_NS })
  const places: number[] = []
  for (let at = body.indexOf(CONVERSATION_PREFIX); at >= 0; ) {
    places.push(at)
    at = body.indexOf(CONVERSATION_PREFIX, at + 1)
  }
  return {
    renew(number) {
      const digits = number.toString(16).padStart(CONVERSATION_PREFIX.length - prefix.length, '0')
      for (const at of places) body.write(`${prefix}${digits}`, at, 'latin1')
      return body
    },
  }
}

async function runConnection(): Promise<void> {
  const { renew } = createBody()
  while (sent < records) {
    const number = sent / batch
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
