import { expect, test } from 'vitest'
import { signaturesOf } from '../stand-ins/seen-request.ts'
import { providerNamed, providers, serve } from './provider.ts'

/* What only some of the providers can say. */

const weather = (args: Record<string, unknown> | string) => ({ name: 'get_weather', arguments: args })

test('Anthropic gets back what it sealed, though nobody can read it', async () => {
  const { standIn, stream } = await serve(providerNamed('anthropic'))
  standIn.reply({ sealed: true, toolCalls: [weather({ city: 'Oslo' })] }, { text: 'Rain.' })
  const events = await stream({ input: 'Oslo?' })
  expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed' })
  expect(standIn.refusals).toEqual([])
  expect(standIn.signatures).toHaveLength(1)
  expect(signaturesOf(standIn.seen[1]!)).toEqual(standIn.signatures)
  expect(JSON.stringify(events)).not.toContain(standIn.signatures[0])
})

test('Google gets back what it signed at the end of an answer', async () => {
  const { standIn, run } = await serve(providerNamed('google'))
  standIn.reply({ reasoning: 'Wet.', text: 'Rain.' }, { text: 'Yes.' })
  await run({ input: 'Oslo?', session_id: 'trip' })
  await run({ input: 'Sure?', session_id: 'trip' })
  expect(standIn.refusals).toEqual([])
  expect(standIn.signatures).toHaveLength(1)
  expect(signaturesOf(standIn.seen[1]!)).toEqual(standIn.signatures)
})

test.for(['scripted', 'google'] as const)('%s makes a file, which is kept with the answer', async (name) => {
  const { standIn, run, items } = await serve(providerNamed(name))
  const file = { mediaType: 'image/png', base64: 'aGVsbG8=' }
  standIn.reply({ text: 'Here is Oslo.', file }, { text: 'Yes.' })
  const json = await run({ input: 'Draw Oslo.', session_id: 'trip' })
  expect(json).toMatchObject({ status: 'completed', output: 'Here is Oslo.' })
  const kept = (await items(json.conversation_id)).flatMap(({ content = [] }) => content as object[])
  expect(JSON.stringify(kept)).toContain('data:image/png;base64,aGVsbG8=')
  await run({ input: 'Is that Oslo?', session_id: 'trip' })
  expect(standIn.refusals).toEqual([])
  expect(standIn.seen[1]!.content).toContainEqual({ from: 'assistant', type: 'file', media: file })
})

/** Google writes arguments as JSON, not as text: there is none to be wrong. */
test.for(providers.filter(({ name, differs }) => differs.wire && name !== 'google'))(
  '$name is told of arguments that are no JSON',
  async (provider) => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ toolCalls: [weather('{"city": "Os')] }, { text: 'Rain.' }, { text: 'Yes.' })
    expect(await run({ input: 'Oslo?', session_id: 'trip' })).toMatchObject({ status: 'completed' })
    expect(await run({ input: 'Sure?', session_id: 'trip' })).toMatchObject({ output: 'Yes.' })
    expect(standIn.refusals).toEqual([])
    expect(standIn.seen[1]!.content.slice(-2)).toMatchObject([
      { type: 'tool_call', call: 0, arguments: {} },
      { type: 'tool_result', call: 0, output: expect.stringContaining('JSON') as string },
    ])
  },
)
