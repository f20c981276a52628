import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, InMemoryTransport } from '@modelcontextprotocol/client'
import { onTestFinished } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { fixedClock } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { saveUpstreamKey } from '../../src/keys/upstream-key.ts'
import { silentLog } from '../../src/log.ts'
import { Secret } from '../../src/secret.ts'
import { createMcpServer } from '../../src/server.ts'
import { takeLease } from '../../src/store/lease.ts'

export const NOW = Date.UTC(2026, 10, 24, 10)

export type ToolApp = {
  readonly app: App
  readonly clock: ReturnType<typeof fixedClock>
  /** Text and data of a tool's answer; an `isError` answer has no data. */
  call(name: string, args?: object): Promise<{ text: string; data: Data; is_error: boolean }>
  readonly client: Client
}

type Data = { [name: string]: unknown }

/** The program in a folder of its own, with a real client connected to it. */
export async function openToolApp(env: Readonly<Record<string, string>> = {}): Promise<ToolApp> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-tools-'))
  const clock = fixedClock(NOW)
  const config = parseConfig(
    { OUTLAY_HOME: home, OUTLAY_TIMEZONE: 'UTC', OUTLAY_PORT: '0', ...env },
    [],
  )
  const holder = {
    id: 'own_test',
    pid: 1,
    hostname: 'test',
    isAlive: () => true,
    wallNow: () => Date.now(),
  }
  const app = await openApp(config, { clock, log: silentLog, holder, versions: process.versions })
  const server = createMcpServer({
    open: async () => app,
    log: silentLog,
    can_write: true,
    actor: 'test',
    announces: { era: 'legacy', is_lasting: true },
  })
  const client = new Client({ name: 'test', version: '1' })
  const [near, far] = InMemoryTransport.createLinkedPair()
  await Promise.all([server.connect(far), client.connect(near)])
  onTestFinished(async () => {
    await client.close()
    await app.close()
    rmSync(home, { recursive: true, force: true })
  })
  return {
    app,
    clock,
    client,
    async call(name, args = {}) {
      const result = await client.callTool({ name, arguments: args as Data })
      const content = result.content as { type: string; text?: string }[]
      return {
        text: content.map(({ text }) => text ?? '').join('\n'),
        data: (result.structuredContent ?? {}) as Data,
        is_error: result.isError === true,
      }
    },
  }
}

export async function connectUpstream({ app }: ToolApp, provider = 'anthropic'): Promise<void> {
  await saveUpstreamKey(app.db, app.sealer, {
    provider,
    is_compat: false,
    base_url: null,
    workspace: null,
    key: new Secret('sk-ant-api03-Zk3vQ8mT1xW5rB9nL2pD7cH4jF6sG0yUeVaIoXqR9QAA'),
    at: NOW,
    actor: 'test',
  })
}

/** As if this process had the side port. */
export async function pretendSidePort({ app }: ToolApp, url: string): Promise<void> {
  await takeLease(app.db, app.holder, { name: 'owner', ttl_ms: 60_000 })
  await app.db
    .updateTable('lease')
    .set({ detail: JSON.stringify({ side_port: url }) })
    .execute()
}
