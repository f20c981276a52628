import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { html } from 'hono/html'
import type { Clock } from '../clock.ts'
import { UpstreamError, UserError } from '../errors.ts'
import {
  type ConnectPage,
  consumeConnectPage,
  findConnectPage,
  spendConnectTry,
} from '../keys/connect-page.ts'
import { DEFAULT_NAME } from '../keys/connection.ts'
import { Secret } from '../secret.ts'
import type { Db } from '../store/schema.ts'
import { type Html, type PageStatus, sendPage } from './page.ts'

/** Which key a provider needs and what becomes of it, for people. */
export type KeyHelp = {
  readonly name: string
  readonly kind: string
  readonly note: string
  readonly url: string
  /** Ends "Paste <the key>, and Outlay …". */
  readonly effect: string
  readonly used_for: string
  /** What happens once it works. */
  readonly done: string
}

export type ConnectDeps = {
  readonly db: Db
  readonly clock: Clock
  describe(page: Pick<ConnectPage, 'provider' | 'kind'>): KeyHelp | undefined
  /** Tests the key against the provider and stores it. @throws UserError that says what to do. */
  connect(given: {
    provider: string
    kind: ConnectPage['kind']
    name: string
    key: Secret
  }): Promise<{ readonly organization_name: string | null; readonly fingerprint: string }>
}

type OpenPage = ConnectPage & { readonly nonce: string; readonly help: KeyHelp }

const BODY_BYTES_MAX = 8 * 1024
const FORM_TYPE = 'application/x-www-form-urlencoded'

/** The page where a person types a provider key, so that neither the assistant nor a log sees it. */
export function connectRoute(deps: ConnectDeps): Hono {
  const app = new Hono()
  app.get('/connect/:nonce', async function showConnectPage(c) {
    const page = await findOpen(deps, c.req.param('nonce'))
    return 'status' in page ? sendPage(c, page) : sendForm(c, page)
  })
  app.post(
    '/connect/:nonce',
    async function refuseForeign(c, next) {
      if (!isOwnForm(c)) return sendPage(c, FOREIGN)
      if (!c.req.header('content-type')?.startsWith(FORM_TYPE)) return sendPage(c, NOT_A_FORM)
      return next()
    },
    bodyLimit({ maxSize: BODY_BYTES_MAX, onError: (c) => sendPage(c, TOO_LARGE) }),
    async function takeKey(c) {
      const page = await findOpen(deps, c.req.param('nonce'))
      if ('status' in page) return sendPage(c, page)
      const key = new URLSearchParams(await c.req.text()).get('key')?.trim() ?? ''
      return connect(c, deps, page, key)
    },
  )
  return app
}

async function connect(
  c: Context,
  deps: ConnectDeps,
  page: OpenPage,
  key: string,
): Promise<Response> {
  const { nonce, provider, kind, name } = page
  if (!/^[\x21-\x7e]{8,1024}$/.test(key)) return sendForm(c, page, notAKey(key))
  if (!(await spendConnectTry(deps.db, nonce, deps.clock.now())))
    return sendPage(c, CLOSED.exhausted)
  try {
    const connected = await deps.connect({ provider, kind, name, key: new Secret(key) })
    await consumeConnectPage(deps.db, nonce, deps.clock.now())
    return await sendPage(c, connectedPage(page, connected))
  } catch (error) {
    // Both hold sentences of ours, never a provider's text.
    if (!(error instanceof UserError || error instanceof UpstreamError)) throw error
    const tries_left = page.tries_left - 1
    return tries_left > 0
      ? sendForm(c, { ...page, tries_left }, error.message)
      : sendPage(c, lastTryPage(error.message))
  }
}

async function findOpen(
  { db, clock, describe }: ConnectDeps,
  nonce: string,
): Promise<OpenPage | PageText> {
  const page = await findConnectPage(db, nonce, clock.now())
  const help = page && describe(page)
  if (!page || !help) return UNKNOWN
  return page.state === 'open' ? { ...page, nonce, help } : CLOSED[page.state]
}

/**
 * Only our own form may post. Under `no-referrer` a browser says `Origin: null` even to its own origin
 * (https://fetch.spec.whatwg.org/#append-a-request-origin-header), so `null` counts only together with
 * `Sec-Fetch-Site`, which no page can set. A program without either header is no browser; it still
 * needs the nonce.
 */
export function isOwnForm(c: Context): boolean {
  const site = c.req.header('sec-fetch-site')
  const origin = c.req.header('origin')
  if (site !== undefined && site !== 'same-origin') return false
  if (origin === undefined) return true
  if (origin === 'null') return site === 'same-origin'
  const host = c.req.header('host') ?? new URL(c.req.url).host
  return URL.parse(origin)?.host === host.toLowerCase()
}

function notAKey(text: string): string {
  return text === ''
    ? 'The field was empty. Paste the key and try again.'
    : 'This does not look like a key: a key is one line of letters, digits and signs, without spaces. Copy it again, whole and alone.'
}

async function sendForm(c: Context, page: OpenPage, problem?: string): Promise<Response> {
  const title = `Connect ${page.help.name}`
  const status = problem === undefined ? 200 : 422
  return sendPage(c, { title, status, body: formBody(page, problem) })
}

function formBody({ help, name, tries_left }: OpenPage, problem: string | undefined): Html {
  const described = problem === undefined ? 'hint' : 'problem hint'
  return html`
<h1>Connect ${help.name}</h1>
<p class="lead">Paste ${help.kind}, and Outlay ${help.effect}.${
    name === DEFAULT_NAME ? '' : html` This connection will be called <strong>${name}</strong>.`
  }</p>
<form method="post" autocomplete="off">
${
  problem === undefined
    ? ''
    : html`<p class="problem" id="problem" role="alert">${problem}<span>${triesText(tries_left)}</span></p>`
}
<label for="key">${labelOf(help.kind)}</label>
<input id="key" name="key" type="password" required autofocus maxlength="1024" autocomplete="off"
 autocapitalize="off" autocorrect="off" spellcheck="false" aria-describedby="${described}"${
   problem === undefined ? '' : html` aria-invalid="true"`
 }>
<p class="note" id="hint">No key yet? <a href="${help.url}" target="_blank" rel="noopener noreferrer">Make one at ${help.name}</a>. ${help.note}</p>
<button type="submit">Test and connect</button>
</form>
<dl>
<div><dt>Used for</dt><dd>${help.used_for}</dd></div>
<div><dt>Kept</dt><dd>Encrypted, on this machine. It is sent to ${help.name} and to nobody else, and never shown again.</dd></div>
<div><dt>Not seen by</dt><dd>Your assistant. The key goes from this page straight to the Outlay that you run.</dd></div>
</dl>
<p class="note">This page works once, for 15 minutes.</p>`
}

function triesText(tries_left: number): string {
  return tries_left === 1 ? 'One try is left.' : `${tries_left} tries are left.`
}

/** Without the article: `Admin key (sk-admin-…)`. */
function labelOf(kind: string): string {
  const bare = kind.replace(/^an? /, '')
  return bare.charAt(0).toUpperCase() + bare.slice(1)
}

type PageText = { readonly title: string; readonly status: PageStatus; readonly body: Html }

function connectedPage(
  { help }: OpenPage,
  connected: { readonly organization_name: string | null; readonly fingerprint: string },
): PageText {
  const { organization_name, fingerprint } = connected
  const rows = [
    ...(organization_name === null ? [] : [['Organisation', organization_name]]),
    ['Key', html`<code>${fingerprint}</code>`],
  ]
  return {
    title: `${help.name} is connected`,
    status: 200,
    body: html`
<h1>${help.name} is connected</h1>
<p class="lead" role="status">The key works and is stored. ${help.done}</p>
<dl>${rows.map(([term, text]) => html`<div><dt>${term}</dt><dd>${text}</dd></div>`)}</dl>
<p>You can close this tab and go back to your assistant.</p>`,
  }
}

function lastTryPage(problem: string): PageText {
  return {
    ...CLOSED.exhausted,
    body: html`<h1>${CLOSED.exhausted.title}</h1><p class="problem" role="alert">${problem}</p>${AGAIN}`,
  }
}

const AGAIN = html`<p>Ask your assistant to connect the provider again and it will open a new page. Or type the key in a terminal: <code>outlay connect</code></p>`

const CLOSED: Readonly<Record<Exclude<ConnectPage['state'], 'open'>, PageText>> = {
  used: plain(410, 'This page was used', 'A key was stored through it, and it works only once.'),
  expired: plain(410, 'This page has expired', 'It was open for 15 minutes.'),
  exhausted: plain(410, 'This page is closed', 'Too many keys were tried on it.'),
}

const UNKNOWN = plain(404, 'There is no such page', 'The address may be cut off or too old.')
const FOREIGN = plain(
  403,
  'Not from here',
  'The key was sent by another page, so it was not taken.',
)
const NOT_A_FORM = plain(415, 'Not a form', 'A key is taken only from the form on this page.')
const TOO_LARGE = plain(413, 'Too much text', 'That is more than any key has.')

function plain(status: PageStatus, title: string, text: string): PageText {
  return { title, status, body: html`<h1>${title}</h1><p class="lead">${text}</p>${AGAIN}` }
}
