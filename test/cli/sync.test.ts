import { spawn } from 'node:child_process'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { listReadable } from '../../src/jobs/sync.ts'
import { takeLease } from '../../src/store/lease.ts'
import { ADMIN_KEY, createOrganization, startFakeAnthropic } from '../helpers/fake-anthropic.ts'
import { openTestApp } from '../helpers/open-test-app.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const NOW = Date.parse('2026-11-20T15:30:00Z')

test('outlay sync says so when another process is reading, and claims nothing', async () => {
  const far = await startFakeAnthropic(createOrganization(NOW))
  const keys = { ANTHROPIC_ADMIN_KEY: ADMIN_KEY, OUTLAY_ANTHROPIC_ADMIN_BASE_URL: far.url }
  const { app } = await openTestApp(NOW, keys)
  const [connection] = await listReadable(app, undefined)
  const other = { ...app.holder, id: 'other', pid: process.pid, hostname: hostname() }
  await takeLease(app.db, other, { name: `sync:${connection?.id}`, ttl_ms: 60_000 })

  const env = { PATH: process.env['PATH'] ?? '', OUTLAY_HOME: app.config.home, ...keys }
  const child = spawn(process.execPath, [MAIN, 'sync'], { env })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      text += chunk
    })
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect(text).toBe(
    'Another Outlay process is reading at this moment: what it reads is there when it is done. 0 rows were read here.\n',
  )
  expect(code).toBe(0)
  expect(far.requests).toEqual([])
})
