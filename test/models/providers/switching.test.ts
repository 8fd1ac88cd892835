import { expect, onTestFinished, test } from 'vitest'
import { createTestServer } from '../../../src/testing/test-server.ts'
import { plainContentOf, signaturesOf } from '../stand-ins/seen-request.ts'
import { clientOf, providers, type Provider } from './provider.ts'
import { travelAgent } from './travel-agent.ts'

/*
 * A conversation that begins with one provider and goes on with another. What only the first understands (its signatures,
 * its thoughts, its ids) must not reach the second; all that was said and done must.
 */

const named = providers.filter(({ name }) => name !== 'scripted')
const pairs = named.flatMap((from) =>
  named.filter((to) => to !== from).map((to) => ({ from, to, name: `${from.name} to ${to.name}` })),
)

async function servePair({ from, to }: { from: Provider; to: Provider }, fallback: boolean) {
  const [first, second] = [await from.start(), await to.start()]
  const models = [from.model(first), to.model(second)] as const
  const [one, other] = [from.options(first, first.key), to.options(second, second.key)]
  const server = await createTestServer({
    agents: [travelAgent(fallback ? models : models[0])],
    ...one,
    ...other,
    providers: { ...one.providers, ...other.providers },
  })
  onTestFinished(async () => {
    await server.close()
    await Promise.all([first.close(), second.close()])
  })
  return { first, second, other: models[1], ...clientOf(server) }
}

const call = (city: string) => ({ name: 'get_weather', arguments: { city } })
const done = (city: string, at: number) => [
  { from: 'assistant', type: 'tool_call', call: at, name: 'get_weather', arguments: { city } },
  { from: 'tool', type: 'tool_result', call: at, output: JSON.stringify({ city, sky: 'rain' }) },
]

test.for(pairs)('a conversation goes on from $name', async (pair) => {
  const { first, second, other, run } = await servePair(pair, false)
  first.reply(
    { reasoning: 'I must look.', toolCalls: [call('Oslo')] },
    { reasoning: 'Wet.', text: 'Rain.' },
    { text: 'Back again.' },
  )
  second.reply({ reasoning: 'Bern, now.', toolCalls: [call('Bern')] }, { text: 'Rain as well.' })
  await run({ input: 'Oslo?', session_id: 'trip' })
  const json = await run({ input: 'Bern?', session_id: 'trip', model: other })
  expect([first.refusals, second.refusals]).toEqual([[], []])
  expect(json).toMatchObject({ status: 'completed', output: 'Rain as well.' })
  const before = [
    { from: 'user', type: 'text', text: 'Oslo?' },
    ...done('Oslo', 0),
    { from: 'assistant', type: 'text', text: 'Rain.' },
    { from: 'user', type: 'text', text: 'Bern?' },
  ]
  // All of it: no signature, and no thought that was not its own.
  expect(second.seen[0]!.content).toEqual(before)
  expect(plainContentOf(second.seen[1]!)).toEqual([...before, ...done('Bern', 1)])
  expect(signaturesOf(second.seen[1]!)).toEqual(second.signatures)

  // And back: the first finds its own again.
  expect(await run({ input: 'And?', session_id: 'trip' })).toMatchObject({ output: 'Back again.' })
  expect(first.refusals).toEqual([])
  for (const signature of signaturesOf(first.seen[2]!)) expect(first.signatures).toContain(signature)
})

test.for(pairs)('within a run, between two steps, $name takes over', async (pair) => {
  const { first, second, run } = await servePair(pair, true)
  first.reply({ reasoning: 'I must look.', toolCalls: [call('Oslo')] }, { error: { kind: 'unauthorized' } })
  second.reply({ reasoning: 'Wet.', text: 'Rain.' })
  const json = await run({ input: 'Oslo?' })
  expect([first.refusals, second.refusals]).toEqual([[], []])
  expect(json).toMatchObject({ status: 'completed', output: 'Rain.' })
  expect(second.seen[0]!.content).toEqual([{ from: 'user', type: 'text', text: 'Oslo?' }, ...done('Oslo', 0)])
})
