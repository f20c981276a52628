/** Providers repeat a key that they refuse, with its middle masked. */
const SHOWN_MIN = 6
const REPLACEMENT = '[key]'

/** The text without the secret: whole, or its beginning with whatever mask and end follow. */
export function scrubSecret(text: string, secret: string): string {
  if (secret.length < SHOWN_MIN) return text
  let clean = text.replaceAll(secret, REPLACEMENT)
  const start = escapePattern(secret.slice(0, SHOWN_MIN))
  clean = clean.replace(new RegExp(`${start}[\\w-]*[*.…•x]{3,}[\\w-]*`, 'g'), REPLACEMENT)
  return clean
}

function escapePattern(text: string): string {
  return text.replace(/[^\w]/g, (character) => `\\${character}`)
}
