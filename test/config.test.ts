import { expect, test } from 'vitest'
import { parseConfig } from '../src/config.ts'
import { providerEnvs } from '../src/providers/environment.ts'

const parse = (env: Record<string, string>) =>
  parseConfig({ HOME: '/home/ada', ...env }, providerEnvs)

test('an empty environment gives loopback and the data folder', () => {
  expect(parse({})).toMatchObject({
    host: '127.0.0.1',
    port: 4318,
    has_side_port: true,
    is_read_only: false,
    sqlite: 'auto',
    home: '/home/ada/.local/share/outlay',
    database: { path: '/home/ada/.local/share/outlay/outlay.db' },
  })
})

test.each([
  [{ OUTLAY_PROT: '1' }, /Unknown variable OUTLAY_PROT\. Did you mean OUTLAY_PORT\?/],
  [{ OUTLAY_PORT: 'many' }, /OUTLAY_PORT/],
  [{ OUTLAY_PORT: '70000' }, /OUTLAY_PORT/],
  [{ OUTLAY_SQLITE: 'sqlite3' }, /OUTLAY_SQLITE/],
  [{ OUTLAY_TIMEZONE: 'Mars/Olympus' }, /IANA time zone/],
  [{ OUTLAY_NOW: 'soon' }, /OUTLAY_NOW/],
  [{ OUTLAY_ANTHROPIC_ADMIN_BASE_URL: 'ftp://x' }, /http or https/],
  [{ OUTLAY_DATABASE_URL: 'mysql://x' }, /OUTLAY_DATABASE_URL/],
])('%j is refused with a sentence', (env, message) => {
  expect(() => parse(env)).toThrow(message)
})

test('an empty value and an unexpanded placeholder count as unset', () => {
  const config = parse({ OUTLAY_PORT: '', ANTHROPIC_ADMIN_KEY: '${user_config.key}' })
  expect(config.port).toBe(4318)
  expect(config.providers['anthropic']?.admin_key).toBeUndefined()
})

test('a secret prints as [secret] wherever it goes', () => {
  const config = parse({ OPENAI_ADMIN_KEY: 'sk-admin-hidden', OUTLAY_MASTER_KEY: 'm'.repeat(40) })
  const texts = [
    JSON.stringify(config),
    `${config.master_key}`,
    String(config.providers['openai']?.admin_key),
  ]
  for (const text of texts) {
    expect(text).not.toMatch(/hidden|mmmm/)
    expect(text).toContain('[secret]')
  }
  expect(config.providers['openai']?.admin_key?.reveal()).toBe('sk-admin-hidden')
})
