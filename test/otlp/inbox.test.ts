import { expect, test } from 'vitest'
import { type BookAll, createInbox, type Delivery } from '../../src/otlp/inbox.ts'
import { BODY_BYTES_MAX, IN_FLIGHT_BYTES_MAX } from '../../src/otlp/limits.ts'
import type { Booked } from '../../src/otlp/signal.ts'
import { NOW, PROTOBUF, send, startReceiver, statusOf } from './fixture.ts'
import { encode, logsBody } from './wire.ts'

const OK: Booked = { rejected: 0, message: '' }
function delivery(body: string): Delivery {
  return {
    signal: 'logs',
    encoding: 'protobuf',
    body: logsBody([{ 5: { 1: body } }]),
    context: { received_at: NOW, token: null },
  }
}

/** What each transaction was to book, by the texts of its records. */
function recorder(answer: (texts: string[]) => Booked = () => OK) {
  const calls: string[][] = []
  const bookAll: BookAll = async (arrivals) => {
    const texts = arrivals.map(({ batch }) =>
      batch.signal === 'logs' ? batch.records.map(({ body }) => body ?? '') : [],
    )
    calls.push(texts.flat())
    return texts.map(answer)
  }
  return { calls, bookAll }
}

test('what comes at once is booked together, and each is answered for itself', async () => {
  const { calls, bookAll } = recorder((texts) =>
    texts.includes('b') ? { rejected: 1, message: 'bad' } : OK,
  )
  const inbox = createInbox(bookAll)
  const answers = await Promise.all(['a', 'b', 'c'].map((text) => inbox.push(delivery(text))))
  expect(calls).toEqual([['a', 'b', 'c']])
  expect(answers).toEqual([OK, { rejected: 1, message: 'bad' }, OK])
})

test('what comes while a group is booked waits for the next one', async () => {
  const { calls, bookAll } = recorder()
  const late: Promise<Booked>[] = []
  const inbox = createInbox(async (arrivals) => {
    if (calls.length === 0) late.push(inbox.push(delivery('b')), inbox.push(delivery('c')))
    return bookAll(arrivals)
  })
  await inbox.push(delivery('a'))
  await Promise.all(late)
  expect(calls).toEqual([['a'], ['b', 'c']])
})

test('one batch that cannot be booked or read does not stop the others', async () => {
  const { calls, bookAll } = recorder((texts) => {
    if (texts.includes('bad')) throw new TypeError('defect')
    return OK
  })
  const inbox = createInbox(bookAll)
  const unreadable = { ...delivery(''), body: Buffer.from('hello') }
  const answers = await Promise.allSettled([
    inbox.push(delivery('a')),
    inbox.push(delivery('bad')),
    inbox.push(unreadable),
    inbox.push(delivery('c')),
  ])
  expect(answers.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'fulfilled',
  ])
  expect(calls).toEqual([['a', 'bad', 'c'], ['a'], ['bad'], ['c']])
})

test('a store that is busy is not asked again for each of a group', async () => {
  const { calls, bookAll } = recorder(() => {
    throw Object.assign(new Error('locked'), { code: 'SQLITE_BUSY' })
  })
  const inbox = createInbox(bookAll)
  const answers = await Promise.allSettled(['a', 'b'].map((text) => inbox.push(delivery(text))))
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(calls).toHaveLength(1)
})

test('room is counted in requests and bytes, and comes back', () => {
  const inbox = createInbox(async () => [OK], { bytes_max: 100, requests_max: 2 })
  const first = inbox.open()
  const second = inbox.open()
  expect(inbox.open()).toBeUndefined()
  expect(first?.take(60)).toBe(true)
  expect(second?.take(60)).toBe(false)
  second?.close()
  expect(first?.take(40)).toBe(true)
  expect(inbox.open()).toBeUndefined()
  first?.close()
  expect(inbox.open()?.take(100)).toBe(true)
})

test('over the bound: 429 with Retry-After, and 200 when there is room again', async () => {
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const { url } = await startReceiver({
    async book() {
      await gate
      return OK
    },
  })
  // One record, and a field nobody knows that takes the rest of the room.
  const body = encode({
    1: { 2: { 2: { 5: { 1: 'text' } } } },
    99: new Uint8Array(BODY_BYTES_MAX - 100),
  })
  const held = Array.from({ length: Math.floor(IN_FLIGHT_BYTES_MAX / body.length) }, () =>
    send(`${url}/v1/logs`, { headers: PROTOBUF, body }),
  )
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  const refused = await send(`${url}/v1/logs`, { headers: PROTOBUF, body })
  expect(refused.status).toBe(429)
  expect(refused.headers['retry-after']).toBe('1')
  expect(statusOf(refused).code).toBe(8)
  open()
  for (const answer of await Promise.all(held)) expect(answer.status).toBe(200)
  expect((await send(`${url}/v1/logs`, { headers: PROTOBUF, body })).status).toBe(200)
})
