import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { fromAiSdk } from '../../src/models/ai-sdk/ai-sdk-model.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { finish, languageModel, textDelta } from './language-model.ts'

const sealed = { acme: { sealed: 'x' } }
const replies: LanguageModelV4StreamPart[][] = [
  [
    { type: 'reasoning-start', id: '0', providerMetadata: sealed },
    { type: 'reasoning-end', id: '0' },
    { type: 'tool-call', toolCallId: 'theirs', toolName: 'weather', input: '{"city":"Oslo"}' },
    finish('tool-calls'),
  ],
  [textDelta('Rain.'), finish()],
]

test('a run with a model of the AI SDK gives back what was sealed, and replays as it was streamed', async () => {
  const queue = [...replies]
  const model = languageModel(() => Promise.resolve(queue.shift() ?? []))
  const weather = tool({
    name: 'weather',
    description: 'The weather.',
    input: z.object({ city: z.string() }),
    effect: 'read',
    execute: ({ city }) => `Rain in ${city}.`,
  })
  const server = await createTestServer({
    agents: [agent({ name: 'assistant', model: fromAiSdk(model), tools: [weather] })],
  })
  onTestFinished(() => server.close())

  const post = { method: 'POST', body: { input: 'Hi', stream: true } }
  const streamed = await server.request('/v1/agents/assistant/runs', post)
  const text = await streamed.text()
  expect(text).toContain('Rain.')
  expect(text).not.toContain('sealed')
  const runId = /run_[0-9a-f]{32}/.exec(text)?.[0] ?? ''
  const replayed = await (await server.request(`/v1/runs/${runId}/events`)).text()
  expect(dataOf(replayed)).toEqual(dataOf(text))

  const [, assistant, result] = model.calls[1]?.prompt ?? []
  expect(assistant?.content).toMatchObject([
    { type: 'reasoning', text: '', providerOptions: sealed },
    { type: 'tool-call', toolName: 'weather', input: { city: 'Oslo' } },
  ])
  expect(result?.content).toMatchObject([{ output: { type: 'text', value: 'Rain in Oslo.' } }])
})

function dataOf(stream: string): string[] {
  return stream.split('\n').filter((line) => line.startsWith('data:'))
}
