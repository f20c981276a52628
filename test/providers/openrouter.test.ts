import { utcDate } from '../../src/clock.ts'
import { openrouter } from '../../src/providers/openrouter/index.ts'
import activity from '../fixtures/providers/openrouter/activity.json' with { type: 'json' }
import { DAY, providerSuite } from './suite.ts'

/** https://openrouter.ai/docs/api-reference/analytics/get-activity, seen 2026-11. */
providerSuite({
  provider: openrouter,
  report: 'activity',
  grouping: 'activity:v1',
  path: '/activity',
  page: (rows, _next, day = DAY) => ({
    data: rows.map((row) => ({ ...(row as object), date: utcDate(day) })),
  }),
  row: (usage, more = {}) => ({ ...activity, usage, ...more }),
  unit_nanos: 1_000_000_000n,
  broken: { requests: 'private text' },
  unfamiliar: { sky_colour: 'green' },
  routes: { '/keys': { data: [] } },
  good_key: 'sk-or-v1-good',
  wrong_keys: ['sk-ant-admin01-other', 'sk-proj-other', 'olk_a_b', 'two words'],
  error: (code, message) => ({ error: { code, message } }),
  skip: [
    {
      reason: 'all 30 days come in one answer',
      tests: [
        'follows pages to the last',
        'refuses a page that comes again under the same token',
        'refuses a page that comes again under another token',
        'refuses a promise of another page without a token',
      ],
    },
    {
      reason: 'it charges dollars only and names no currency',
      tests: ['keeps another currency apart'],
    },
    {
      reason: 'rows are merged over keys, so that their text is of no single row',
      tests: ['counts a row with unknown words, and keeps its text'],
    },
  ],
})
