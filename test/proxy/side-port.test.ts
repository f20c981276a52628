import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openApp } from '../../src/app.ts'
import { systemClock } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { silentLog } from '../../src/log.ts'
import { openSidePort } from '../../src/side-port.ts'

/** The program's own side port. */
async function openPort(): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-side-port-'))
  const clock = systemClock()
  const holder = { id: 'test', pid: process.pid, hostname: 'test', isAlive: () => true }
  const app = await openApp(parseConfig({ OUTLAY_HOME: home, OUTLAY_PORT: '0' }, []), {
    clock,
    log: silentLog,
    versions: process.versions,
    holder: { ...holder, wallNow: clock.wallNow },
  })
  const port = await openSidePort(app)
  onTestFinished(async () => {
    await port.close()
    await app.close()
    rmSync(home, { recursive: true, force: true })
  })
  return port.url
}

function ask(url: string, method: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { method, headers }, (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    asking.once('error', reject)
    asking.end()
  })
}

test('the proxy answers on the side port, from its first request on', async () => {
  const url = await openPort()
  expect(await ask(`${url}/proxy/openai`, 'HEAD')).toBe(200)
  expect(await ask(`${url}/proxy/openai/v1/models`, 'HEAD')).toBe(404)
  expect(await ask(`${url}/proxy/openai`, 'GET')).toBe(200)
  expect(await ask(`${url}/proxy/openai/v1/models`, 'GET')).toBe(401)
  expect(await ask(`${url}/proxy/nobody`, 'GET')).toBe(404)
  expect(await ask(`${url}/healthz`, 'GET')).toBe(200)
})

test('a foreign host or origin is refused before the proxy looks at it, and after it was open', async () => {
  const url = await openPort()
  for (const headers of [{ host: 'evil.example' }, { origin: 'https://evil.example' }]) {
    expect(await ask(`${url}/proxy/openai`, 'GET', headers)).toBe(403)
    expect(await ask(`${url}/proxy/openai`, 'GET')).toBe(200)
    expect(await ask(`${url}/proxy/openai`, 'GET', headers)).toBe(403)
  }
  expect(await ask(`${url}/proxy/openai`, 'GET', { origin: url })).toBe(200)
})
