import { describe, expect, test } from 'vitest'
import { fixedClock } from '../../src/clock.ts'
import { UpstreamError } from '../../src/errors.ts'
import { createGet, type HttpOptions } from '../../src/providers/http.ts'
import { createPages } from '../../src/providers/pages.ts'
import type { AdminApi, Provider, Range, ReportRows } from '../../src/providers/provider.ts'
import { Secret } from '../../src/secret.ts'
import { type FakeAnswer, type FakeProvider, startFakeProvider } from '../helpers/fake-provider.ts'

export const NOW = Date.parse('2026-11-20T15:30:00Z')
export const DAY = Date.parse('2026-11-18T00:00:00Z')
const WINDOW: Range = { start: DAY - 7 * 86_400_000, end: DAY + 86_400_000 }

/** What a provider must show of itself to be put through the suite. */
export type SuiteSubject = {
  readonly provider: Provider
  /** One of its cost reports: which variant reads it, where, and how a page of it looks. */
  readonly report: string
  readonly grouping: string
  readonly path: string
  /** A body with the rows of DAY; `next` is the token of another page. */
  page(rows: readonly unknown[], next?: string | null, day?: number): unknown
  /** A row that costs so much, in the provider's own unit. */
  row(amount: unknown, more?: Readonly<Record<string, unknown>>): Record<string, unknown>
  /** Nano-dollars of one unit. */
  readonly unit_nanos: bigint
  /** A field without which a row cannot be read, with `private text` in place of its value. */
  readonly broken: Readonly<Record<string, unknown>>
  /** A value or field that no list has. */
  readonly unfamiliar: Readonly<Record<string, unknown>>
  /** Other paths that the report asks first, and their answers. */
  readonly routes?: Readonly<Record<string, unknown>>
  readonly good_key: string
  readonly wrong_keys: readonly string[]
  /** A body of an error with a code, and one that carries more than may be passed on. */
  error(code: string, message: string): unknown
  /** Gaps, each with its reason. */
  readonly skip: readonly { readonly reason: string; readonly tests: readonly string[] }[]
}

/** The one suite for whatever implements `AdminApi`: a page loop, rows, refusals and the border to the network. */
export function providerSuite(subject: SuiteSubject): void {
  const { provider, path, page, row, unit_nanos } = subject
  const admin = requireAdmin(provider)
  const check = (name: string, run: () => Promise<void>) => {
    const gap = subject.skip.find(({ tests }) => tests.includes(name))
    test.skipIf(gap)(gap ? `${name} (not here: ${gap.reason})` : name, run)
  }

  describe(`${provider.id}: rows`, () => {
    check('follows pages to the last', async () => {
      const { rows, far } = await read(subject, [
        page([row('1')], 'two'),
        page([row('2')], null, DAY - 86_400_000),
      ])
      expect(totalOf(rows)).toBe(3n * unit_nanos)
      expect(
        far.requests
          .filter((one) => one.path === path)
          .at(-1)
          ?.query.get('page'),
      ).toBe('two')
    })
    check('refuses a page that comes again under the same token', async () => {
      const again = [
        page([row('1')], 'a'),
        page([row('2')], 'a', DAY - 86_400_000),
        page([row('3')], 'a'),
      ]
      await expect(read(subject, again)).rejects.toMatchObject({
        detail: { code: 'contract_violation' },
      })
    })
    check('refuses a page that comes again under another token', async () => {
      const again = [page([row('1')], 'a'), page([row('1')], null)]
      await expect(read(subject, again)).rejects.toMatchObject({
        detail: { code: 'contract_violation' },
      })
    })
    check('refuses a promise of another page without a token', async () => {
      const promise = { ...(page([row('1')]) as object), has_more: true, next_page: null }
      await expect(read(subject, [promise])).rejects.toMatchObject({
        detail: { code: 'contract_violation' },
      })
    })
    check('refuses a body that is no page', async () => {
      for (const body of [{}, [], { data: 'none' }, null, 7])
        await expect(read(subject, [body])).rejects.toBeInstanceOf(UpstreamError)
    })
    check('leaves a malformed row out, names the field, and reads the others', async () => {
      const { rows } = await read(subject, [page([row('1'), row('2', subject.broken), row('4')])])
      expect(totalOf(rows)).toBe(5n * unit_nanos)
      expect(rows.malformed).toHaveLength(1)
      expect(JSON.stringify(rows.malformed)).not.toContain('private text')
    })
    check('counts a row with unknown words, and keeps its text', async () => {
      const { rows } = await read(subject, [page([row('1', subject.unfamiliar)])])
      expect(totalOf(rows)).toBe(unit_nanos)
      expect(rows.unfamiliar).toBeGreaterThan(0)
      expect(rows.cost[0]?.raw_json).toContain(Object.keys(subject.unfamiliar)[0])
    })
    check('keeps another currency apart', async () => {
      const { rows } = await read(subject, [page([row('1'), row('1', { currency: 'EUR' })])])
      expect(rows.cost.map(({ currency }) => currency).sort()).toEqual(['eur', 'usd'])
    })
    check('reads amounts to the last digit', async () => {
      for (const [amount, nanos] of AMOUNTS) {
        const { rows } = await read(subject, [page([row(amount)])])
        expect(totalOf(rows), String(amount)).toBe(scale(nanos, unit_nanos))
      }
    })
    check('takes no amount that is none', async () => {
      for (const amount of ['twelve', '', '1e999', '--1', '1,5', '100000000000', true, {}]) {
        const { rows } = await read(subject, [page([row(amount)])])
        expect(rows.cost, String(amount)).toEqual([])
        expect(rows.malformed.length).toBeGreaterThan(0)
      }
    })
  })

  describe(`${provider.id}: refusals`, () => {
    check('passes on no word of what the provider said', async () => {
      for (const status of [400, 401, 403, 404, 409, 500, 503, 529]) {
        const json = subject.error('some_code', `Incorrect key ${subject.good_key}: hello`)
        const headers = { 'request-id': 'req_1' }
        const error = await refusal(subject, { status, json, headers })
        expect(error).toMatchObject({ status, detail: { request_id: 'req_1' } })
        expect(`${error.message} ${JSON.stringify(error)}`).not.toMatch(/Incorrect|hello|sk-/)
      }
    })
    check('reads how long to wait in every form', async () => {
      const date = new Date(NOW).toUTCString()
      const later = new Date(NOW + 90_000).toUTCString()
      for (const [headers, retry_after_ms] of [
        [{ 'retry-after': '7' }, 7_000],
        [{ 'retry-after': later, date }, 90_000],
        [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
        [{}, 60_000],
        [{ 'retry-after': '86400' }, 900_000],
        [{ 'retry-after': '-5' }, 0],
        [{ 'retry-after': 'soon' }, 60_000],
      ] as const) {
        const error = await refusal(subject, { status: 429, headers })
        expect(error.detail.retry_after_ms, JSON.stringify(headers)).toBe(retry_after_ms)
      }
    })
    check('tries again what passes, at most five times, and obeys x-should-retry', async () => {
      for (const [status, headers, count] of [
        [500, {}, 5],
        [529, {}, 5],
        [408, {}, 5],
        [400, {}, 1],
        [401, {}, 1],
        [429, {}, 1],
        [503, { 'x-should-retry': 'false' }, 1],
        [400, { 'x-should-retry': 'true' }, 5],
      ] as const) {
        const { get, far } = await open(subject, () => ({ status, headers }))
        await expect(get({ path, params: [] })).rejects.toMatchObject({ status })
        expect(far.requests.length, `${status} ${JSON.stringify(headers)}`).toBe(count)
      }
    })
    check('follows no redirect', async () => {
      const other = await startFakeProvider({ '/stolen': () => ({ json: {} }) })
      const headers = { location: `${other.url}/stolen` }
      const error = await refusal(subject, { status: 302, headers })
      expect(error.status).toBe(302)
      expect(other.requests).toEqual([])
    })
    check('reads no body over the cap', async () => {
      const { get } = await open(subject, () => ({ text: `"${'x'.repeat(2_000)}"` }), {
        body_bytes_max: 1_000,
      })
      await expect(get({ path, params: [] })).rejects.toMatchObject({
        detail: { code: 'window_too_large' },
      })
    })
    check('waits for no server that does not answer', async () => {
      const { get, far } = await open(subject, () => ({ is_silent: true }), {
        timeout_ms: 300,
        attempts_max: 2,
      })
      await expect(get({ path, params: [] })).rejects.toThrow(/did not answer within 0\.3 s/)
      expect(far.requests.length).toBeLessThanOrEqual(2)
    })
  })

  describe(`${provider.id}: the border`, () => {
    check('sends the key in a header, with GET, and never in the URL', async () => {
      const { far } = await read(subject, [page([row('1')])])
      expect(far.requests.length).toBeGreaterThan(0)
      for (const request of far.requests) {
        expect(request.method).toBe('GET')
        expect(`${request.path}?${request.query}`).not.toContain(subject.good_key)
        expect(Object.values(request.headers).join()).toContain(subject.good_key)
        expect(request.headers['user-agent']).toMatch(/^outlay\/\d/)
      }
    })
    check('asks for no path that is not on the list', async () => {
      const { get, far } = await open(subject, () => ({ json: {} }))
      for (const wrong of [
        `${path}/../keys`,
        `${path}x`,
        '/',
        `/v1${path}/delete`,
        '//example.test/',
      ])
        await expect(get({ path: wrong, params: [] }), wrong).rejects.toThrow(/not on the list/)
      expect(far.requests).toEqual([])
    })
    check('says which key is needed instead of another kind', async () => {
      for (const key of subject.wrong_keys) {
        const sentence = admin.refuseKey(key)
        expect(sentence).toContain(admin.key_help.kind)
        expect(sentence).toContain(admin.key_help.url)
        expect(sentence).not.toContain(key)
      }
      expect(admin.refuseKey(subject.good_key)).toBeNull()
    })
  })
}

/** An amount of the provider's unit, and what it is in 10⁻⁹ of it. */
const AMOUNTS: readonly (readonly [amount: unknown, nanos: string])[] = [
  ['1', '1000000000'],
  ['0', '0'],
  ['41280.000000', '41280000000000'],
  ['-2.5', '-2500000000'],
  ['1e-2', '10000000'],
  [0.25, '250000000'],
  ['0.123450000000000000000000000000', '123450000'],
  ['1E+3', '1000000000000'],
]

function scale(nanos: string, unit_nanos: bigint): bigint {
  return (BigInt(nanos) * unit_nanos) / 1_000_000_000n
}

function totalOf({ cost }: ReportRows): bigint {
  return cost.reduce((sum, { amount_nanos }) => sum + amount_nanos, 0n)
}

function requireAdmin({ admin }: Provider): AdminApi {
  if (!admin) throw new Error('the provider has no admin API')
  return admin
}

async function open(
  { provider, path, routes = {}, good_key }: SuiteSubject,
  answer: () => FakeAnswer,
  limits: Partial<HttpOptions> = {},
) {
  const others = Object.entries(routes).map(([name, json]) => [name, () => ({ json })])
  const far: FakeProvider = await startFakeProvider(
    { ...Object.fromEntries(others), [path]: answer },
    () => NOW,
  )
  const http = createGet({
    provider: provider.id,
    admin: requireAdmin(provider),
    base_url: far.url,
    key: new Secret(good_key),
    clock: fixedClock(NOW),
    backoff_ms: 1,
    ...limits,
  })
  return { get: http.get, far }
}

/** Reads the report from bodies that are sent one after the other; the last one is sent again. */
async function read(subject: SuiteSubject, bodies: readonly unknown[]) {
  let sent = 0
  const { get, far } = await open(subject, () => ({
    json: bodies[Math.min(sent++, bodies.length - 1)],
  }))
  const { provider, report, grouping } = subject
  const variants = requireAdmin(provider).reports.find(({ name }) => name === report)?.variants
  const variant = variants?.find((one) => one.grouping === grouping)
  if (!variant) throw new Error(`no variant ${grouping} of ${report}`)
  const rows = await variant.read(WINDOW, createPages(get, { provider: provider.id }), get)
  return { rows, far }
}

async function refusal(subject: SuiteSubject, answer: FakeAnswer): Promise<UpstreamError> {
  const { get } = await open(subject, () => answer, { attempts_max: 1 })
  const error = await get({ path: subject.path, params: [] }).catch((caught: unknown) => caught)
  if (!(error instanceof UpstreamError)) throw new Error('no refusal')
  return error
}
