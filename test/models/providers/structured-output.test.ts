import { describe, expect, test } from 'vitest'
import { providerNamed, providers, serve } from './provider.ts'

const closed = {
  type: 'object',
  properties: { city: { type: 'string' }, degrees: { type: 'number' } },
  required: ['city', 'degrees'],
  additionalProperties: false,
}
const open = { type: 'object', additionalProperties: { type: 'number' } }
const ask = { input: 'Weather in Oslo?' }
const weather = { name: 'get_weather', arguments: { city: 'Oslo' } }

describe.for(providers)('the same agent on $name', (provider) => {
  test('answers to a schema, with its tool beside it', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply(
      { reasoning: 'I must look.', toolCalls: [weather] },
      { text: '{"city":"Oslo","degrees":7}' },
    )
    const json = await run({ ...ask, output_schema: closed })
    expect(standIn.refusals).toEqual([])
    expect(json).toMatchObject({ status: 'completed', stop_reason: 'final' })
    expect(JSON.parse(json.output)).toEqual({ city: 'Oslo', degrees: 7 })
    for (const { output, tools } of standIn.seen) {
      expect(tools.map(({ name }) => name)).toEqual(['get_weather'])
      expect(output).toMatchObject({ by: 'native', schema: { properties: { city: { type: 'string' } } } })
    }
  })

  test('corrects an answer that does not fit', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: '{"city":"Oslo"}' }, { text: '{"city":"Oslo","degrees":7}' })
    const json = await run({ ...ask, output_schema: closed })
    expect(standIn.refusals).toEqual([])
    expect(json).toMatchObject({ status: 'completed' })
    expect(JSON.parse(json.output)).toEqual({ city: 'Oslo', degrees: 7 })
    expect(JSON.stringify(standIn.seen[1]!.content)).toContain('degrees')
  })

  test('answers to a schema that leaves its keys open', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ reasoning: 'I must look.', toolCalls: [weather] }, { text: '{"Oslo":7}' })
    const json = await run({ ...ask, output_schema: open })
    expect(standIn.refusals).toEqual([])
    expect(json).toMatchObject({ status: 'completed' })
    expect(JSON.parse(json.output)).toEqual({ Oslo: 7 })
  })
})

/** Models that cannot take a schema beside tools are asked by a tool for the answer. */
test.for(['gemini-2.5-flash'])('%s answers to a schema by a tool', async (model) => {
  const { standIn, run } = await serve(providerNamed('google'), { model: `google/${model}` })
  standIn.reply({ toolCalls: [weather] }, { text: '{"city":"Oslo","degrees":7}' })
  const json = await run({ ...ask, output_schema: closed })
  expect(standIn.refusals).toEqual([])
  expect(json).toMatchObject({ status: 'completed', steps: 2 })
  expect(JSON.parse(json.output)).toEqual({ city: 'Oslo', degrees: 7 })
  expect(standIn.seen[0]!.output).toMatchObject({ by: 'tool', tool: 'json' })
})
