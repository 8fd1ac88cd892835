import { describe, expect, test } from 'vitest'
import { plainContentOf, signaturesOf } from '../stand-ins/seen-request.ts'
import { bodyOf, deltasOf, post, providers, serve } from './provider.ts'

const ask = { input: 'Weather in Oslo?' }
const weatherIn = (city: string) => ({ name: 'get_weather', arguments: { city } })
const user = (text: string) => ({ from: 'user', type: 'text', text })
const called = (call: number, city: string) => ({
  from: 'assistant',
  type: 'tool_call',
  call,
  name: 'get_weather',
  arguments: { city },
})
const result = (call: number, city: string) => ({
  from: 'tool',
  type: 'tool_result',
  call,
  output: JSON.stringify({ city, sky: 'rain' }),
})

describe.for(providers)('the same agent on $name', (provider) => {
  const { differs } = provider

  test('is asked with its instructions, its tool and the input', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'Rain.' })
    expect(await run(ask)).toMatchObject({ status: 'completed', stop_reason: 'final', output: 'Rain.' })
    expect(standIn.refusals).toEqual([])
    expect(standIn.seen).toHaveLength(1)
    expect(standIn.seen[0]).toMatchObject({
      system: 'You plan trips. Be brief.',
      content: [user('Weather in Oslo?')],
      tools: [
        {
          name: 'get_weather',
          description: 'The weather of a city.',
          parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        },
      ],
      output: undefined,
    })
    expect(standIn.seen[0]?.settings.reasoning).toEqual(differs.mediumReasoning)
    if (differs.wire) expect(standIn.seen[0]?.key).toBe(standIn.key)
  })

  test('streams text as it comes', async () => {
    const { standIn, stream } = await serve(provider)
    standIn.reply({ text: 'It rains in Oslo — as it always does. ☔' })
    const events = await stream(ask)
    expect(deltasOf(events, 'text.delta')).toBe('It rains in Oslo — as it always does. ☔')
    expect(events.filter(({ type }) => type === 'text.delta').length).toBeGreaterThan(5)
    expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed', stop_reason: 'final' })
  })

  test('passes a first token on while the rest is not yet said', async () => {
    const { standIn, server } = await serve(provider)
    const rest = Promise.withResolvers<void>()
    standIn.reply({ text: 'It rains.', gates: { rest: rest.promise } })
    const body = bodyOf(await post(server, { ...ask, stream: true }))
    await body.until('"delta":"It"')
    rest.resolve()
    expect(await body.rest()).toContain('"delta":" rains."')
  })

  test('remembers the conversation', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'Rain.' }, { text: 'No.' })
    await run({ ...ask, session_id: 'trip' })
    await run({ input: 'Still?', session_id: 'trip' })
    expect(plainContentOf(standIn.seen[1]!)).toEqual([
      user('Weather in Oslo?'),
      { from: 'assistant', type: 'text', text: 'Rain.' },
      user('Still?'),
    ])
    expect(standIn.refusals).toEqual([])
  })

  test('shows what is thought, and keeps it', async () => {
    const { standIn, stream, items } = await serve(provider)
    standIn.reply({ reasoning: 'Oslo is wet.', text: 'Rain.' })
    const events = await stream({ ...ask, session_id: 'trip' })
    const shown = differs.showsReasoning ? 'Oslo is wet.' : ''
    expect(deltasOf(events, 'reasoning.delta')).toBe(shown)
    expect(deltasOf(events, 'text.delta')).toBe('Rain.')
    const start = events[0] as { conversation_id?: string }
    const kept = (await items(start.conversation_id!)).filter(({ type }) => type === 'reasoning')
    expect(kept.map(({ text }) => text as string)).toEqual(differs.showsReasoning ? [shown] : [])
    // What is signed is nobody's but the provider's.
    expect(JSON.stringify([events, kept])).not.toMatch(/signature/i)
  })

  test('calls a tool and reads its result, with its own thoughts before it', async () => {
    const { standIn, stream } = await serve(provider)
    standIn.reply(
      { reasoning: 'I must look.', text: 'Let me see.', toolCalls: [weatherIn('Oslo')] },
      { text: 'Rain.' },
    )
    const events = await stream(ask)
    expect(standIn.refusals).toEqual([])
    expect(events.filter(({ type }) => type === 'tool.call')).toMatchObject([
      { name: 'get_weather', arguments: { city: 'Oslo' } },
    ])
    expect(events.filter(({ type }) => type === 'tool.end')).toMatchObject([
      { output: '{"city":"Oslo","sky":"rain"}' },
    ])
    expect(plainContentOf(standIn.seen[1]!)).toEqual([
      user('Weather in Oslo?'),
      { from: 'assistant', type: 'text', text: 'Let me see.' },
      called(0, 'Oslo'),
      result(0, 'Oslo'),
    ])
    expect(signaturesOf(standIn.seen[1]!)).toEqual(standIn.signatures)
    expect(standIn.signatures).toHaveLength(differs.signs ? 1 : 0)
  })

  test('calls tools in parallel, and again in the next step', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply(
      { reasoning: 'Two.', toolCalls: [weatherIn('Oslo'), weatherIn('Rome')] },
      { reasoning: 'One more.', toolCalls: [weatherIn('Bern')] },
      { text: 'Rain, everywhere.' },
    )
    expect(await run(ask)).toMatchObject({ status: 'completed', output: 'Rain, everywhere.', steps: 3 })
    expect(standIn.refusals).toEqual([])
    expect(plainContentOf(standIn.seen[2]!)).toEqual([
      user('Weather in Oslo?'),
      called(0, 'Oslo'),
      called(1, 'Rome'),
      result(0, 'Oslo'),
      result(1, 'Rome'),
      called(2, 'Bern'),
      result(2, 'Bern'),
    ])
    expect(signaturesOf(standIn.seen[2]!)).toEqual(standIn.signatures)
    expect(standIn.signatures).toHaveLength(differs.signs ? 2 : 0)
  })

  test('goes on after tools in the next turn', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply(
      { reasoning: 'I must look.', toolCalls: [weatherIn('Oslo')] },
      { reasoning: 'It rains.', text: 'Rain.' },
      { text: 'Yes.' },
    )
    await run({ ...ask, session_id: 'trip' })
    expect(await run({ input: 'Sure?', session_id: 'trip' })).toMatchObject({ output: 'Yes.' })
    expect(standIn.refusals).toEqual([])
    expect(plainContentOf(standIn.seen[2]!)).toEqual([
      user('Weather in Oslo?'),
      called(0, 'Oslo'),
      result(0, 'Oslo'),
      { from: 'assistant', type: 'text', text: 'Rain.' },
      user('Sure?'),
    ])
    // Whether thoughts of earlier turns are wanted is each provider's affair; what comes back is what it gave.
    for (const signature of signaturesOf(standIn.seen[2]!)) expect(standIn.signatures).toContain(signature)
  })

  test('is told of a tool that failed', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ reasoning: 'Where?', toolCalls: [weatherIn('Atlantis')] }, { text: 'Nowhere.' })
    expect(await run(ask)).toMatchObject({ status: 'completed', output: 'Nowhere.' })
    expect(standIn.refusals).toEqual([])
    const told = standIn.seen[1]!.content.at(-1)
    expect(told).toMatchObject({
      type: 'tool_result',
      call: 0,
      output: expect.stringContaining('no such city'),
    })
    expect('error' in told!).toBe(differs.marksToolErrors)
  })

  test('is told of arguments that do not fit', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ toolCalls: [{ name: 'get_weather', arguments: {} }] }, { text: 'Which city?' })
    expect(await run(ask)).toMatchObject({ status: 'completed', output: 'Which city?' })
    expect(standIn.refusals).toEqual([])
    expect(standIn.seen[1]!.content.at(-1)).toMatchObject({
      type: 'tool_result',
      output: expect.stringContaining('city'),
    })
  })

  test('counts tokens the same way', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply(
      {
        reasoning: 'I must look.',
        toolCalls: [weatherIn('Oslo')],
        usage: { input: 100, output: 30, reasoning: 20 },
      },
      { text: 'Rain.', usage: { input: 160, output: 12, cached: 128, reasoning: 4 } },
    )
    expect((await run(ask)).usage).toEqual({
      input_tokens: 260,
      output_tokens: 42,
      total_tokens: 302,
      cached_input_tokens: 128,
      reasoning_tokens: 24,
    })
  })

  test('says that the answer was cut at the limit, or filtered', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'Ra', finish: 'length' }, { text: 'Ra', finish: 'filtered' })
    expect(await run(ask)).toMatchObject({
      status: 'completed',
      stop_reason: 'max_output_tokens',
      output: 'Ra',
    })
    expect(await run(ask)).toMatchObject({ status: 'completed', stop_reason: 'content_filter' })
  })

  test('carries out no call that the limit may have cut, and none of a filtered reply', async () => {
    const { standIn, run } = await serve(provider)
    const cut = { name: 'get_weather', arguments: {} }
    standIn.reply(
      { toolCalls: [cut], finish: 'length' },
      { text: 'Rain.' },
      { toolCalls: [weatherIn('Oslo')], finish: 'filtered' },
    )
    expect(await run(ask)).toMatchObject({ status: 'completed', stop_reason: 'final', output: 'Rain.' })
    const told = expect.stringContaining('not carried out') as string
    expect(plainContentOf(standIn.seen[1]!).at(-1)).toMatchObject({ type: 'tool_result', output: told })
    expect(await run(ask)).toMatchObject({ status: 'completed', stop_reason: 'content_filter', steps: 1 })
    expect(standIn.refusals).toEqual([])
  })

  test('takes what a request asks for', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'Rain.' })
    await run({ ...ask, temperature: 0.5, max_output_tokens: 300, instructions: 'Rhyme.' })
    const { system, settings } = standIn.seen[0]!
    expect(system).toBe('You plan trips. Be brief.\n\nRhyme.')
    expect(settings.temperature).toBe(differs.temperatureWithReasoning ? 0.5 : undefined)
    if (differs.limitIsExact) expect(settings.maxOutputTokens).toBe(300)
    else expect(settings.maxOutputTokens).toBeGreaterThan(300)
  })
})
