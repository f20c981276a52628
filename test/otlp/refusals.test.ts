import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Refused } from '../../src/ledger/receiver.ts'
import { silentLog } from '../../src/log.ts'
import { createRefusalCounter } from '../../src/otlp/refusals.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function counter() {
  const written: Refused[] = []
  const onRefused = createRefusalCounter({
    log: silentLog,
    count: async (refused) => void written.push(refused),
  })
  return { written, onRefused }
}

const JS = 'OTel-OTLP-Exporter-JavaScript/0.223.1'

test('the first refusal is written at once, a flood with one write a second', () => {
  const { written, onRefused } = counter()
  for (let index = 0; index < 1_000; index++)
    onRefused({ signal: 'logs', status: 400, user_agent: JS })
  const client = 'OTel-OTLP-Exporter-JavaScript'
  expect(written).toEqual([{ kind: 'refused_400', client, requests: 1 }])
  vi.advanceTimersByTime(5_000)
  expect(written.slice(1)).toEqual([{ kind: 'refused_400', client, requests: 999 }])
})

test('what a client sends again by itself is not counted, and strangers share a name', () => {
  const { written, onRefused } = counter()
  for (const status of [429, 503]) onRefused({ signal: 'logs', status, user_agent: JS })
  expect(written).toEqual([])
  for (let index = 0; index < 100; index++)
    onRefused({ signal: 'misdirected', status: 404, user_agent: `scanner-${index}` })
  vi.advanceTimersByTime(2_000)
  expect(written.map(({ client }) => client)).toEqual(['unknown', 'unknown'])
  expect(written.reduce((sum, { requests }) => sum + requests, 0)).toBe(100)
})
