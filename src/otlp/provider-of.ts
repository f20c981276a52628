/** Whose model a name is, by how it begins. A client can be pointed at any vendor's models. */
const VENDORS: readonly (readonly [pattern: RegExp, provider: string])[] = [
  [/^(?:(?:us|eu|apac|global|jp|au)\.)?(?:anthropic|amazon|meta|mistral|cohere)\.[\w-]+/, 'aws'],
  [/^claude-/, 'anthropic'],
  [/^(?:gpt-|chatgpt-|codex-|o\d(?:-|$)|text-embedding-|ft:)/, 'openai'],
  [/^(?:models\/)?gem(?:ini|ma)-/, 'google'],
  [/^grok-/, 'x-ai'],
  [/^deepseek-/, 'deepseek'],
  [/^(?:mistral|codestral|devstral|magistral|ministral)-/, 'mistral'],
  [/^kimi-/, 'moonshotai'],
  [/^command-/, 'cohere'],
  [/^sonar/, 'perplexity'],
  [/^qwen/, 'qwen'],
  // Vendor and model with a slash are how gateways name models.
  [/^[\w.-]+\/[\w.:-]+$/, 'openrouter'],
]

export function providerOfModel(model: string): string | undefined {
  const lower = model.toLowerCase()
  return VENDORS.find(([pattern]) => pattern.test(lower))?.[1]
}
