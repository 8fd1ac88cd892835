import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply, type UpstreamReply } from '../../src/testing/upstream-server.ts'
import { startProgram } from './example-process.ts'

async function start(...replies: UpstreamReply[]) {
  const upstream = await createUpstreamServer({ replies })
  onTestFinished(() => upstream.close())
  const program = await startProgram('examples/budgeted-research.ts', { LLM_BASE_URL: upstream.baseURL })
  onTestFinished(async () => {
    expect(await program.stop()).toBe(0)
  })
  const ask = async (more = {}) => {
    const response = await program.request('/v1/agents/researcher/runs', { input: 'The moons?', ...more })
    return (await response.json()) as Record<string, unknown>
  }
  const toolChoices = () =>
    upstream.requests.map(({ body }) => (body as { tool_choice?: string }).tool_choice ?? 'auto')
  return { ask, toolChoices }
}

const search = { name: 'search', arguments: ['{"word":"neptune"}'] }
const usage = (prompt_tokens: number, completion_tokens: number) => ({
  usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
})

test('the researcher answers without tools when its calls are used up, also those that the request allows', async () => {
  const { ask, toolChoices } = await start(
    streamReply({ toolCalls: [search, search] }),
    streamReply({ text: ['Sixteen.'] }),
  )
  const run = await ask({ budget: { tool_calls: 2 } })
  expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget', forced: true, output: 'Sixteen.' })
  expect(toolChoices()).toEqual(['auto', 'none'])
})

test('the researcher ends with what it has when the money is spent, its assistant’s included', async () => {
  const { ask } = await start(
    // 0.02 and 0.008 of the large one, 0.024 of the small one: over 0.05.
    streamReply({
      text: ['I ask my assistant.'],
      toolCalls: [{ name: 'assistant', arguments: ['{"task":"Which moons?"}'] }],
      ...usage(10_000, 1_000),
    }),
    streamReply({ text: ['Sixteen.'], ...usage(20_000, 25_000) }),
  )
  const run = await ask()
  expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget', output: 'I ask my assistant.' })
  expect(run['cost']).toBeCloseTo(0.052)
  expect(run['usage']).toMatchObject({ total_tokens: 56_000 })
})
