import { closest } from './closest.ts'
import { UserError } from './errors.ts'

const THROUGH_PROXY =
  '# Through the proxy as well, for limits that stop: with a wrapped key (outlay keys create <name>) and without the #,'

/**
 * How clients reach Outlay, by telemetry or through the proxy: the exact lines that a person pastes.
 * Where a client has both, pasting all of it turns telemetry on; the proxy's lines, which need a key
 * first, are marked with a `#`.
 */
const LINES: Readonly<Record<string, (side_port: string) => string>> = {
  // https://code.claude.com/docs/en/monitoring-usage
  'claude-code': (
    side_port,
  ) => `# Claude Code: put these into your shell profile, or under "env" in ~/.claude/settings.json
export CLAUDE_CODE_ENABLE_TELEMETRY=1
export OTEL_LOGS_EXPORTER=otlp
export OTEL_METRICS_EXPORTER=otlp
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_ENDPOINT=${side_port}

${THROUGH_PROXY} these as well
#export ANTHROPIC_BASE_URL=${side_port}/proxy/anthropic
#export ANTHROPIC_AUTH_TOKEN=olk_…`,
  // https://developers.openai.com/codex/config-reference: the endpoint is used as it stands
  codex: (side_port) => `# Codex CLI: put these at the end of ~/.codex/config.toml
[otel]
log_user_prompt = false
exporter = { otlp-http = { endpoint = "${side_port}/v1/logs", protocol = "binary" } }

${THROUGH_PROXY} these as well
#[model_providers.outlay]
#name = "Outlay"
#base_url = "${side_port}/proxy/openai/v1"
#env_key = "CODEX_API_KEY"
#wire_api = "responses"
# this at the top of that file
#model_provider = "outlay"
# and this into your shell profile
#export CODEX_API_KEY=olk_…`,
  // https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/telemetry.md
  'gemini-cli': (side_port) => `# Gemini CLI: merge this into ~/.gemini/settings.json
{
  "telemetry": {
    "enabled": true,
    "target": "local",
    "otlpEndpoint": "${side_port}",
    "otlpProtocol": "http",
    "logPrompts": false
  }
}

${THROUGH_PROXY} these into your shell profile
#export GOOGLE_GEMINI_BASE_URL=${side_port}/proxy/google
#export GEMINI_API_KEY=olk_…
# and this into ~/.gemini/settings.json
#{ "security": { "auth": { "selectedType": "gemini-api-key" } } }`,
  // https://github.com/openai/openai-node#readme
  openai: (side_port) => `# OpenAI SDKs, through the proxy; a wrapped key: outlay keys create <name>
export OPENAI_BASE_URL=${side_port}/proxy/openai/v1
export OPENAI_API_KEY=olk_…`,
  // https://docs.claude.com/en/api/client-sdks; Claude Code reads both variables too
  anthropic: (
    side_port,
  ) => `# Anthropic SDKs and Claude Code, through the proxy; a wrapped key: outlay keys create <name>
export ANTHROPIC_BASE_URL=${side_port}/proxy/anthropic
export ANTHROPIC_API_KEY=olk_…`,
  // https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/configuration.md
  google: (
    side_port,
  ) => `# Google GenAI SDKs and Gemini CLI, through the proxy; a wrapped key: outlay keys create <name>
export GOOGLE_GEMINI_BASE_URL=${side_port}/proxy/google
export GEMINI_API_KEY=olk_…`,
  // https://opentelemetry.io/docs/specs/otel/protocol/exporter/
  otel: (side_port) => `# Any OpenTelemetry exporter
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_ENDPOINT=${side_port}`,
}

export const SETUPS: readonly string[] = Object.keys(LINES)

/** @throws UserError for a client that is not known, with the closest one. */
export function setupLines(client: string, side_port: string): string {
  const lines = Object.hasOwn(LINES, client) ? LINES[client] : undefined
  if (lines) return lines(side_port)
  const near = closest(client, SETUPS)
  throw new UserError(
    `No set-up for "${client}". Known: ${SETUPS.join(', ')}.${near ? ` Did you mean ${near}?` : ''}`,
  )
}
