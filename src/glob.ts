/** Whether a text matches a pattern in which `*` stands for any text, also none; case is ignored. */
export function matchesGlob(pattern: string, text: string): boolean {
  return globMatcher(pattern)(text)
}

/** The same pattern for many texts. */
export function globMatcher(pattern: string): (text: string) => boolean {
  const wanted = pattern.toLowerCase()
  if (!wanted.includes('*')) return (text) => text.toLowerCase() === wanted
  const source = wanted.split('*').map(escapeExpression).join('.*')
  const expression = new RegExp(`^${source}$`, 's')
  return (text) => expression.test(text.toLowerCase())
}

function escapeExpression(text: string): string {
  return text.replace(/[\\^$.|?+()[\]{}]/g, '\\$&')
}
