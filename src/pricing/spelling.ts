/** Other words for the same vendor, from telemetry conventions and gateways. */
const PROVIDER_ALIASES: Readonly<Record<string, string>> = {
  'gcp.gemini': 'google',
  'gcp.gen_ai': 'google',
  'gcp.vertex_ai': 'google',
  google_genai: 'google',
  vertex_ai: 'google',
  vertex: 'google',
  gemini: 'google',
  'aws.bedrock': 'aws',
  aws_bedrock: 'aws',
  bedrock: 'aws',
  'azure.ai.openai': 'azure',
  'azure.ai.inference': 'azure',
  'az.ai.openai': 'azure',
  'az.ai.inference': 'azure',
  azure_openai: 'azure',
  mistral_ai: 'mistral',
  mistralai: 'mistral',
  x_ai: 'x-ai',
  xai: 'x-ai',
  moonshot_ai: 'moonshotai',
  moonshot: 'moonshotai',
  fireworks_ai: 'fireworks',
  together_ai: 'together',
}

/** A provider appends these to a name without changing its price: a day, or "latest". */
const SNAPSHOT =
  /[-@](?:20\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|20\d{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|latest)$/
/** `claude-opus-5[1m]`: a mode of the client, not a model. */
const MODIFIER = /\[[\w.-]{1,20}\]$/
/** `ft:gpt-4o-2024-08-06:org::id`: the price is that of the fine-tuned base. */
const FINE_TUNED = /^(ft:[^:]+):.*$/
/** Stable Gemini versions: https://ai.google.dev/gemini-api/docs/models#model-versions */
const GOOGLE_VERSION = /-\d{3}$/
const GOOGLE_PATH = /^(?:.*\/)?models\//
/** `-v1:0`, `-v2:0:200k`: https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html */
const AWS_REVISION = /-v\d+(?::\d+){0,1}(?::\d+k)?$/
/** Geographies of cross-region inference profiles that cost what the region costs; `global` does not. */
const AWS_GEOGRAPHY = /^(?:us|eu|apac)\.(?=[a-z0-9]+\.)/
const AWS_VENDOR = /^(?:amazon|anthropic|meta|mistral)\./

/** Names longer than this are nobody's model. */
export const NAME_LENGTH_MAX = 300

export function modelKey(provider: string, name: string): string {
  return `${provider} ${name}`
}

export function providerId(provider: string): string {
  const lower = provider.trim().toLowerCase()
  return PROVIDER_ALIASES[lower] ?? lower
}

/** The first entry that a name can be read as. */
export function findLine<Line>(
  lines: ReadonlyMap<string, Line>,
  provider: string,
  name: string,
): Line | undefined {
  if (name.length > NAME_LENGTH_MAX) return undefined
  for (const spelling of listSpellings(provider, name)) {
    const line = lines.get(modelKey(provider, spelling))
    if (line) return line
  }
  return undefined
}

/** The ways to read a name, the most literal first. */
function listSpellings(provider: string, name: string): string[] {
  const plain = name.trim().toLowerCase().replace(MODIFIER, '')
  const spellings = [plain, plain.replace(SNAPSHOT, '')]
  if (provider === 'openai' && plain.startsWith('ft:')) {
    const base = plain.replace(FINE_TUNED, '$1')
    spellings.push(base, base.replace(SNAPSHOT, ''))
  }
  if (provider === 'google') {
    const own = plain.replace(GOOGLE_PATH, '')
    spellings.push(own, own.replace(SNAPSHOT, ''), own.replace(GOOGLE_VERSION, ''))
  }
  if (provider === 'aws') {
    const unrevised = plain.replace(AWS_REVISION, '')
    const local = unrevised.replace(AWS_GEOGRAPHY, '')
    for (const one of [unrevised, local, local.replace(AWS_VENDOR, '')])
      spellings.push(one, one.replace(SNAPSHOT, ''))
  }
  return spellings
}
