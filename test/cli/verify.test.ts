import { hostname } from 'node:os'
import { expect, test } from 'vitest'
import type { Host } from '../../src/app.ts'
import { loadCorpus } from '../../src/cli/corpus.ts'
import { replayCase } from '../../src/cli/replay.ts'
import { scoreCase } from '../../src/cli/verify.ts'
import { systemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'

const clock = systemClock()
const host: Host = {
  clock,
  log: silentLog,
  versions: process.versions,
  holder: {
    id: 'own_test',
    pid: process.pid,
    hostname: hostname(),
    isAlive: () => true,
    wallNow: clock.wallNow,
  },
}
const catalog = loadCatalog()
const corpus = loadCorpus()

test.each(corpus)('$name: $why', async (one) => {
  const { wrong } = scoreCase(one, await replayCase(one, host, catalog))
  expect(wrong).toEqual([])
})

test('the corpus is as large as it says and its names are its own', () => {
  expect(corpus.length).toBeGreaterThanOrEqual(80)
  expect(new Set(corpus.map(({ name }) => name)).size).toBe(corpus.length)
})

test('a wrong figure is seen, with how far it is off', async () => {
  const [one] = corpus
  if (!one) throw new Error('the corpus is empty')
  const truth = { ...one.truth, requests: 9, cost_usd: '1.000000000' }
  const score = scoreCase({ ...one, truth }, await replayCase(one, host, catalog))
  expect(score.error_usd).toBe('-0.984970000')
  expect(score.wrong).toEqual(['requests 1, truth 9', 'cost_usd 0.015030000, truth 1.000000000'])
})
