import { Hono } from 'hono'
import { html } from 'hono/html'
import type { Clock } from '../clock.ts'
import type { Sealer } from '../keys/seal.ts'
import { findSecretPage, takeSecret } from '../keys/secret-page.ts'
import type { Db } from '../store/schema.ts'
import { isOwnForm } from './connect-page.ts'
import { type Html, sendPage } from './page.ts'

export type SecretDeps = { readonly db: Db; readonly clock: Clock; readonly sealer: Sealer }

/**
 * The page that shows a new key, once: at the press of a button, since programs that look at links
 * before people do would use it up.
 */
export function secretRoute({ db, clock, sealer }: SecretDeps): Hono {
  const app = new Hono()
  app.get('/connect/:nonce', async function offerSecret(c, next) {
    const page = await findSecretPage(db, c.req.param('nonce'), clock.now())
    if (!page) return next()
    const { title, state } = page
    if (state !== 'open') return sendPage(c, GONE[state])
    return sendPage(c, { title: `Key "${title}"`, body: offerBody(title) })
  })
  app.post('/connect/:nonce', async function showSecret(c, next) {
    const nonce = c.req.param('nonce')
    const page = await findSecretPage(db, nonce, clock.now())
    if (!page) return next()
    if (!isOwnForm(c)) return sendPage(c, FOREIGN)
    const secret = await takeSecret(db, sealer, nonce, clock.now())
    if (!secret) return sendPage(c, GONE[page.state === 'expired' ? 'expired' : 'shown'])
    return sendPage(c, {
      title: `Key "${page.title}"`,
      body: secretBody(page.title, secret.reveal()),
    })
  })
  return app
}

function offerBody(title: string): Html {
  return html`
<h1>A key for ${title}</h1>
<p class="lead">It is shown once. Have the place at hand where you keep secrets.</p>
<form method="post" autocomplete="off">
<button type="submit" autofocus>Show the key</button>
</form>
<dl>
<div><dt>Opens</dt><dd>The proxy of this Outlay, within the key's limits and budgets. It is no provider's key.</dd></div>
<div><dt>Not seen by</dt><dd>Your assistant, unless you paste it there.</dd></div>
</dl>
<p class="note">This page works once, for 30 minutes.</p>`
}

function secretBody(title: string, secret: string): Html {
  return html`
<h1>A key for ${title}</h1>
<p class="lead" role="status">Copy it now: Outlay keeps only its fingerprint and cannot show it again.</p>
<label for="secret">Wrapped key</label>
<input id="secret" readonly value="${secret}" autocomplete="off" spellcheck="false" autofocus>
<p class="note">Lost it? Ask your assistant to rotate the key, or run <code>outlay keys rotate</code>.</p>`
}

const ROTATE = html`<p>If nobody has the key, ask your assistant to rotate it, or run <code>outlay keys rotate</code> in a terminal: that makes another.</p>`

const GONE = {
  shown: {
    title: 'This key was shown',
    status: 410,
    body: html`<h1>This key was shown</h1><p class="lead">The page works only once.</p>${ROTATE}`,
  },
  expired: {
    title: 'This page has expired',
    status: 410,
    body: html`<h1>This page has expired</h1><p class="lead">It was open for 30 minutes.</p>${ROTATE}`,
  },
} as const

const FOREIGN = {
  title: 'Not from here',
  status: 403,
  body: html`<h1>Not from here</h1><p class="lead">Another page asked for the key, so it was not shown.</p>`,
} as const
