import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDemoProvider } from '../../src/demo/provider.ts'
import { CLIENTS, type McpClient, textOf } from '../helpers/clients.ts'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path),
)
if (!CHROMIUM) console.warn('skipped: the connect page in a real browser (no Chromium found)')

const KEY = 'sk-ant-admin01-PlantedSecretThatMustNotBeFoundAnywhere-9QAA'

describe.skipIf(!CHROMIUM)('a key typed on the page in a real browser', () => {
  const { home, remove } = makeHome()
  let browser: Browser
  let client: McpClient
  let served: Awaited<ReturnType<typeof startServe>>
  let provider: Awaited<ReturnType<typeof startDemoProvider>>

  beforeAll(async () => {
    provider = await startDemoProvider(Date.now())
    const base = `${provider.url}/anthropic`
    const env = programEnv(home, { OUTLAY_ANTHROPIC_ADMIN_BASE_URL: base })
    const made = await runProgram(['tokens', 'create', 'test', '--scopes', 'read,write'], env)
    served = await startServe(env)
    client = await CLIENTS['SDK 2, protocol 2026-07-28']({
      url: served.url,
      token: made.stdout.trim(),
    })
    browser = await chromium.launch({
      executablePath: CHROMIUM ?? '',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    })
  }, 60_000)

  afterAll(async () => {
    await browser?.close()
    await client?.close()
    await stopProgram(served.child)
    await provider.close()
    remove()
  })

  test('is refused when it is of the wrong kind, stored when it is right, and synced', async () => {
    const answer = await client.callTool({
      name: 'connect_provider',
      arguments: { provider: 'anthropic' },
    })
    const { url } = answer.structuredContent as { url: string }
    const page = await browser.newPage()
    const asked: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    await page.goto(url)
    await page.getByLabel(/Admin API key/).fill('sk-ant-api03-a-key-for-inference')
    await page.getByRole('button').click()
    await expect
      .poll(() => page.getByRole('alert').textContent())
      .toMatch(/an Anthropic API key for inference.*Needed: an Admin API key/s)
    await page.getByLabel(/Admin API key/).fill(KEY)
    await page.getByRole('button').click()
    await expect.poll(() => page.title()).toContain('is connected')
    expect(await page.textContent('main')).toContain('Demo Foundry (simulated)')
    expect(await page.content()).not.toContain(KEY)
    await page.reload()
    expect(await page.textContent('main')).toMatch(/works only once|was used/)
    expect(asked.every((one) => one.startsWith(served.url) && !one.includes(KEY))).toBe(true)
    await page.close()
  })

  test('starts a sync by itself and is in no file and no answer in clear', async () => {
    await expect
      .poll(async () => textOf(await client.callTool({ name: 'get_spend', arguments: {} })), {
        timeout: 20_000,
        interval: 300,
      })
      .toMatch(/^\$[1-9]/)
    const status = await client.callTool({ name: 'get_status', arguments: {} })
    expect(JSON.stringify(status)).toContain('sk-ant-admin01-…9QAA')
    expect(JSON.stringify(status)).not.toContain(KEY)
    const folder = join(home, 'outlay')
    for (const file of readdirSync(folder, { recursive: true, withFileTypes: true }))
      if (file.isFile()) {
        const bytes = readFileSync(join(file.parentPath, file.name))
        expect(bytes.includes(KEY), file.name).toBe(false)
      }
  })
})
