import { isoTime } from '../../src/clock.ts'
import { anthropic } from '../../src/providers/anthropic/index.ts'
import analytics from '../fixtures/providers/anthropic/analytics-cost.json' with { type: 'json' }
import legacy from '../fixtures/providers/anthropic/cost-report.json' with { type: 'json' }
import { DAY, providerSuite, type SuiteSubject } from './suite.ts'

const workspaces = { data: [], has_more: false, first_id: null, last_id: null }

const shared: Omit<SuiteSubject, 'grouping' | 'path' | 'page' | 'row' | 'unfamiliar'> = {
  provider: anthropic,
  report: 'cost',
  unit_nanos: 10_000_000n,
  broken: { currency: ['private text'] },
  routes: { '/v1/organizations/workspaces': workspaces },
  good_key: 'sk-ant-admin01-good',
  wrong_keys: [
    'sk-ant-api03-inference',
    'sk-proj-other',
    'sk-admin-other',
    'sk-or-v1-other',
    'olk_a_b',
    'two words',
  ],
  error: (error_code, message) => ({
    type: 'error',
    error: { type: 'x', message, details: { error_code } },
  }),
  skip: [],
}

const [bucket] = [legacy]
const [legacyRow] = legacy.results

/** https://platform.claude.com/docs/en/api/admin-api/usage-cost/get-cost-report, seen 2026-11. */
providerSuite({
  ...shared,
  grouping: 'legacy:v1',
  path: '/v1/organizations/cost_report',
  page: (results, next_page = null, day = DAY) => ({
    data: [{ ...bucket, starting_at: isoTime(day), results }],
    has_more: next_page !== null,
    next_page,
  }),
  row: (amount, more = {}) => ({ ...legacyRow, amount, ...more }),
  unfamiliar: { sky_colour: 'green' },
})

/** https://platform.claude.com/docs/en/manage-claude/usage-cost-analytics-api, seen 2026-11. */
providerSuite({
  ...shared,
  grouping: 'analytics:v1',
  path: '/v1/organizations/analytics/cost',
  page: (rows, next_page = null, day = DAY) => ({
    data: rows.map((row) => ({ ...(row as object), starting_at: isoTime(day) })),
    has_more: next_page !== null,
    next_page,
    data_refreshed_at: null,
  }),
  row: (amount, { currency = 'USD', ...more } = {}) => ({
    ...analytics,
    cost: { ...analytics.cost, amount, currency },
    ...more,
  }),
  unfamiliar: { sky_colour: 'green' },
})
