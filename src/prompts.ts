/** A question that a person starts from a menu; the assistant answers it with the tools. */
export type Prompt = {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly args: readonly {
    readonly name: string
    readonly description: string
    readonly values: readonly string[]
  }[]
  text(args: Readonly<Record<string, string | undefined>>): string
}

const CLIENTS = ['claude-code', 'codex', 'gemini-cli', 'otel']

export const prompts: readonly Prompt[] = [
  {
    name: 'monthly_review',
    title: 'Monthly review',
    description: 'What the month cost, on what, and what changed.',
    args: [
      {
        name: 'period',
        description: 'this_month or last_month',
        values: ['last_month', 'this_month'],
      },
    ],
    text: ({ period = 'last_month' }) =>
      `Review our LLM spend of ${period}. Call get_spend with period "${period}" and compare true, grouped by provider, then by model, then by provider_key; then get_status. ` +
      'Write one page: the total and how it changed, the three models and the three keys that cost most, what grew most in dollars and in percent, ' +
      'and what the figures leave out (coverage, notes, unpriced requests). Say for each figure whether it is billed or metered. Do not guess at causes that the data does not show.',
  },
  {
    name: 'set_up_tracking',
    title: 'Set up tracking',
    description: 'Connect providers and coding assistants, step by step.',
    args: [
      { name: 'client', description: 'The coding assistant to track, if any', values: CLIENTS },
    ],
    text: ({ client }) =>
      'Help me set up Outlay. Call get_status first and tell me in two sentences what is connected and what is missing. ' +
      'For each provider whose organisation I administer, call connect_provider; it opens a page where I type the admin key: do not ask me for the key here. ' +
      `${client ? `Then read the resource outlay://setup/${client} and give me its lines to paste. ` : 'Then ask which coding assistants we use and give me the lines of outlay://setup/{client}. '}` +
      'Finish with get_status again, and say what to expect when.',
  },
]
