import { describe, expect, test } from 'vitest'
import { plainContentOf, signaturesOf, type SeenRequest } from '../stand-ins/seen-request.ts'
import { bodyOf, post, providers, serve } from './provider.ts'

/*
 * What a conversation may come to hold, and what services are known to refuse: whatever happened before, the next request
 * must be one that is taken.
 */

const weather = (city: string) => ({ name: 'get_weather', arguments: { city } })
const message = (role: string, text: string) => ({ type: 'message', role, content: text })
const texts = (request: SeenRequest) =>
  plainContentOf(request).flatMap((part) => (part.type === 'text' ? [part.text] : []))

describe.for(providers)('the same agent on $name', (provider) => {
  const { differs } = provider

  test.for([
    {
      what: 'begins with an answer',
      input: [message('assistant', 'Where to?'), message('user', 'Oslo.')],
      said: ['Where to?', 'Oslo.'],
    },
    {
      what: 'has several messages of one side in a row',
      input: [
        message('user', 'Hi.'),
        message('user', 'Oslo?'),
        message('assistant', 'Hm.'),
        message('assistant', 'Yes?'),
        message('user', 'Rain?'),
      ],
      said: ['Hi.', 'Oslo?', 'Hm.', 'Yes?', 'Rain?'],
    },
    {
      what: 'has a word of the system in its midst',
      input: [
        message('user', 'Hi.'),
        message('assistant', 'Yes?'),
        message('system', 'Be kind.'),
        message('user', 'Rain?'),
      ],
      said: ['Hi.', 'Yes?', 'Be kind.', 'Rain?'],
    },
    {
      what: 'has messages without text',
      input: [message('user', ''), message('assistant', ' \n'), message('user', 'Rain?')],
      said: ['Rain?'],
    },
  ])('takes a conversation that $what', async ({ input, said }) => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'Rain.' })
    expect(await run({ input })).toMatchObject({ status: 'completed', output: 'Rain.' })
    expect(standIn.refusals).toEqual([])
    const [request] = standIn.seen
    const sent = [request!.system, ...texts(request!)].join('\n')
    let at = -1
    for (const text of said) {
      const next = text === 'Be kind.' ? sent.indexOf(text) : sent.indexOf(text, at + 1)
      expect(next).toBeGreaterThan(-1)
      if (text !== 'Be kind.') at = next
    }
  })

  test('goes on with an answer that the caller began, or refuses to', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'rains.' })
    const json = await run({ input: [message('user', 'Oslo?'), message('assistant', 'It')] })
    if (differs.continuesAnswers) expect(json).toMatchObject({ status: 'completed', output: 'rains.' })
    else expect(json).toMatchObject({ status: 'failed', error: { code: 'model_refused' } })
    expect(standIn.refusals).toHaveLength(differs.continuesAnswers ? 0 : 1)
  })

  test('goes on after an answer that a cancel cut', async () => {
    const { standIn, server, run } = await serve(provider)
    standIn.reply({ reasoning: 'Hm.', text: 'It is', hang: 'after' }, { text: 'Rain.' })
    const response = await post(server, { input: 'Oslo?', session_id: 'trip', stream: true })
    const body = bodyOf(response)
    await body.until('"delta":" is"')
    await fetch(`${server.url}${response.headers.get('content-location')}/cancel`, { method: 'POST' })
    await body.rest()
    expect(await run({ input: 'Go on.', session_id: 'trip' })).toMatchObject({ output: 'Rain.' })
    expect(standIn.refusals).toEqual([])
    expect(texts(standIn.seen[1]!).at(-1)).toBe('Go on.')
  })

  test('goes on after a step that failed between a tool and its answer', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply(
      { reasoning: 'I must look.', toolCalls: [weather('Oslo')] },
      { error: { kind: 'unauthorized' } },
      { text: 'Rain.' },
    )
    await run({ input: 'Oslo?', session_id: 'trip' })
    expect(await run({ input: 'Well?', session_id: 'trip' })).toMatchObject({ output: 'Rain.' })
    expect(standIn.refusals).toEqual([])
    expect(standIn.seen[2]!.content.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['tool_call', 'tool_result']) as string[],
    )
  })

  test('goes on after a reply that broke within a call', async () => {
    const { standIn, run } = await serve(provider)
    const broken = { text: 'Let me', toolCalls: [weather('Oslo'), weather('Rome')], cut: 'after' } as const
    standIn.reply(broken, broken, broken, { text: 'Rain.' })
    expect(await run({ input: 'Oslo?', session_id: 'trip' })).toMatchObject({ status: 'failed' })
    expect(await run({ input: 'Well?', session_id: 'trip' })).toMatchObject({ output: 'Rain.' })
    expect(standIn.refusals).toEqual([])
  })

  test('goes on after an answer without anything in it', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({}, { reasoning: 'Hm.' }, { text: 'Rain.' })
    await run({ input: 'Oslo?', session_id: 'trip' })
    await run({ input: 'Well?', session_id: 'trip' })
    expect(await run({ input: 'So?', session_id: 'trip' })).toMatchObject({ output: 'Rain.' })
    expect(standIn.refusals).toEqual([])
  })

  test('is told of a tool that is not there, and of one without arguments', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ toolCalls: [{ name: 'get_time', arguments: {} }, weather('Oslo')] }, { text: 'Rain.' })
    expect(await run({ input: 'Oslo?' })).toMatchObject({ status: 'completed', output: 'Rain.' })
    expect(standIn.refusals).toEqual([])
    expect(standIn.seen[1]!.content.slice(-4)).toMatchObject([
      { type: 'tool_call', name: 'get_time', arguments: {} },
      { type: 'tool_call', name: 'get_weather', arguments: { city: 'Oslo' } },
      { type: 'tool_result', call: 0, output: expect.stringContaining('get_time') as string },
      { type: 'tool_result', call: 1 },
    ])
  })

  test('reads its last results with one more request, in which it may call nothing, at the last step', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ reasoning: 'I must look.', toolCalls: [weather('Oslo')] }, { text: 'Rain.' })
    const json = await run({ input: 'Oslo?', max_steps: 1 })
    expect(standIn.refusals).toEqual([])
    expect(json).toMatchObject({
      status: 'completed',
      stop_reason: 'max_steps',
      output: 'Rain.',
      forced: true,
    })
    expect(signaturesOf(standIn.seen[1]!)).toEqual(standIn.signatures)
    expect(standIn.signatures).toHaveLength(differs.signs ? 1 : 0)
  })
})
