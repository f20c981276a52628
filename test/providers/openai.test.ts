import { openai } from '../../src/providers/openai/index.ts'
import costs from '../fixtures/providers/openai/costs.json' with { type: 'json' }
import { DAY, providerSuite } from './suite.ts'

/** https://platform.openai.com/docs/api-reference/usage/costs, seen 2026-11. */
providerSuite({
  provider: openai,
  report: 'cost',
  grouping: 'keyed:v1',
  path: '/organization/costs',
  page: (results, next_page = null, day = DAY) => ({
    object: 'page',
    data: [{ object: 'bucket', start_time: day / 1000, end_time: day / 1000 + 86_400, results }],
    has_more: next_page !== null,
    next_page,
  }),
  row: (value, { currency = 'usd', ...more } = {}) => ({
    ...costs,
    amount: { value, currency },
    ...more,
  }),
  unit_nanos: 1_000_000_000n,
  broken: { currency: ['private text'] },
  unfamiliar: { sky_colour: 'green' },
  good_key: 'sk-admin-good',
  wrong_keys: ['sk-ant-admin01-other', 'sk-or-v1-other', 'olt_a_b', 'two words'],
  error: (code, message) => ({
    error: { message, type: 'invalid_request_error', param: null, code },
  }),
  skip: [],
})
