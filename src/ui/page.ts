import { createHash } from 'node:crypto'
import type { Context } from 'hono'
import { html, raw } from 'hono/html'

/** What `html` gives: text whose values are escaped. */
export type Html = ReturnType<typeof html>

/**
 * One self-contained page: no script, no other origin, one style sheet that the policy names by its
 * hash. Nothing may store it, frame it, or learn its address from a link.
 */
export async function sendPage(
  c: Context,
  { title, body, status = 200 }: { title: string; body: Html; status?: PageStatus },
): Promise<Response> {
  for (const [name, value] of Object.entries(headers())) c.header(name, value)
  return c.html(await layout(title, body), status)
}

export type PageStatus = 200 | 403 | 404 | 410 | 413 | 415 | 422

function headers(): Record<string, string> {
  return {
    'Content-Security-Policy': [
      "default-src 'none'",
      `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
      "form-action 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ].join('; '),
    // Not no-referrer: with that a browser sends the form with `Origin: null`, which no check can trust.
    'Referrer-Policy': 'same-origin',
    'Cache-Control': 'no-store',
    'X-Frame-Options': 'DENY',
    'X-Content-Type-Options': 'nosniff',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
  }
}

function layout(title: string, body: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${title} – Outlay</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<main>
<p class="brand">Outlay</p>
${body}
</main>
</body>
</html>
`
}

/** System fonts, one column, one accent. The hash above is taken of exactly this text. */
const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --ink: #1d1c1a; --soft: #69655e; --line: #d9d5cd; --edge: #8b867c; --field: #fff;
  --accent: #0d5c4b; --on-accent: #fff; --bad: #9c2a1c; --bad-paper: #fbeeeb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161614; --ink: #ecebe7; --soft: #a29e95; --line: #3a3934; --edge: #7b776e; --field: #1f1f1c;
    --accent: #7fd1b9; --on-accent: #0b201a; --bad: #f2a297; --bad-paper: #2b1b18;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: clamp(1.5rem, 9vh, 6rem) 1.5rem 3rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main { max-width: 34rem; margin: 0 auto; }
.brand { margin: 0 0 2.5rem; color: var(--soft); font-size: .875rem; font-weight: 600; letter-spacing: .02em; }
h1 { margin: 0 0 .75rem; font-size: 1.875rem; line-height: 1.2; font-weight: 600; letter-spacing: -.02em; text-wrap: balance; }
p { margin: 0 0 1rem; text-wrap: pretty; }
a { color: var(--accent); text-underline-offset: .2em; }
.lead { color: var(--soft); }
form { margin: 2rem 0; }
label { display: block; margin-bottom: .5rem; font-weight: 600; }
input {
  width: 100%; padding: .75rem .875rem; border: 1px solid var(--edge); border-radius: .5rem;
  background: var(--field); color: inherit; font: 1rem/1.4 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
button {
  margin-top: 1rem; padding: .75rem 1.25rem; border: 0; border-radius: .5rem; background: var(--accent);
  color: var(--on-accent); font: inherit; font-weight: 600; cursor: pointer;
}
input:focus-visible, button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
input[aria-invalid] { border-color: var(--bad); }
.problem { margin: 0 0 1.25rem; padding: .75rem .875rem; border-radius: .5rem; background: var(--bad-paper); color: var(--bad); overflow-wrap: anywhere; }
.problem span { display: block; margin-top: .25rem; font-size: .9375rem; }
.note { margin: .5rem 0 0; color: var(--soft); font-size: .9375rem; }
dl { margin: 2rem 0; border-top: 1px solid var(--line); }
dl div { display: flex; gap: 1.5rem; padding: .75rem 0; border-bottom: 1px solid var(--line); }
dt { flex: 0 0 7rem; color: var(--soft); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
code { font: .9375em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
@media (max-width: 30rem) { dl div { display: block; } button { width: 100%; } }
`
