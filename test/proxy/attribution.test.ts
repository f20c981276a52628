import { expect, test } from 'vitest'
import { NO_ASK } from '../../src/providers/wire.ts'
import { attribute } from '../../src/proxy/attribution.ts'
import { wrappedKey } from './fixture.ts'

const SESSION = '01a21352-3997-7443-9971-37308fc6f5b0'
const THREAD = '01a21352-3b18-7ee1-81f8-913077ed802c'

/** As Codex 0.169 sends it, shortened. */
test.each([
  ['a sub-agent by its thread', { session_id: SESSION, thread_id: THREAD }, THREAD],
  ['the root by its own', { session_id: SESSION, thread_id: SESSION }, SESSION],
  ['an older version by its session', { session_id: SESSION }, SESSION],
  ['one that says nothing, by none', {}, null],
])('Codex is told apart as its telemetry tells it: %s', (_, metadata, session) => {
  const headers = {
    'user-agent': 'codex_exec/0.169.0 (Debian 13.0.0; x86_64)',
    'x-codex-turn-metadata': JSON.stringify({ agent_name: '/root', ...metadata }),
  }
  expect(attribute(headers, NO_ASK, wrappedKey())).toMatchObject({ client: 'codex', session })
})
