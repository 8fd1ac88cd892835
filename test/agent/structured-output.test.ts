import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import type { ZodOrJsonSchema } from '../../src/agent/definitions.ts'
import { requestedOutput } from '../../src/agent/output.ts'
import { tool } from '../../src/agent/tool.ts'
import type { Model } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { RunOptions } from '../../src/run-state.ts'
import type { RunRecord } from '../../src/store/store.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'
import { createLogCapture } from './log-capture.ts'

const weather = z.object({ city: z.string(), degrees: z.number() })
const right = '{"city":"Oslo","degrees":7}'
const wrong = '{"city":"Oslo"}'

/** One run of an agent that must answer by a schema. */
async function answer(input: {
  replies: readonly ScriptedReply[]
  output?: ZodOrJsonSchema
  agent?: Partial<AgentOptions>
  options?: RunOptions
  enforces?: boolean
}) {
  const scripted = scriptedModel(input.replies)
  const model: Model = input.enforces ? { ...scripted, enforcesOutputSchema: true } : scripted
  const log = createLogCapture()
  const output =
    input.output === undefined && input.options?.output_schema ? {} : { output: input.output ?? weather }
  const engine = await startEngine({ model, logger: log.logger, agent: { ...output, ...input.agent } })
  const start = input.options ? { options: input.options } : {}
  const finished = await engine.finish({ ...start, conversation: { session: 's' } })
  return { ...finished, engine, model: scripted, log }
}

const notes = (items: readonly { item: { type: string } }[]) =>
  items.filter(({ item }) => item.type === 'note')
const usage = (tokens: number) => ({ input_tokens: tokens, output_tokens: 0, total_tokens: tokens })

describe('an answer that satisfies the schema', () => {
  test('is the output as it was said, and its value is on the run', async () => {
    const { run, text, model, types } = await answer({ replies: [right] })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final', steps: 1 })
    expect(run.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
    expect(text).toBe(right)
    expect(types).not.toContain('warning')
    expect(model.calls[0]?.outputSchema).toMatchObject({ type: 'object', required: ['city', 'degrees'] })
  })

  test('may hold more than is asked for, though models are told to leave it out', async () => {
    const { run, model } = await answer({ replies: ['{"city":"Oslo","degrees":7,"mood":"fine"}'] })
    expect(run.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
    expect(model.calls[0]?.outputSchema).toMatchObject({ additionalProperties: false })
    const open = z.looseObject({ city: z.string() })
    const loose = await answer({ replies: ['{"city":"Oslo","mood":"fine"}'], output: open })
    expect(loose.run.output_parsed).toEqual({ city: 'Oslo', mood: 'fine' })
    expect(loose.model.calls[0]?.outputSchema).not.toHaveProperty('additionalProperties', false)
  })

  test('is asked for in words too, where the provider does not hold the model to it', async () => {
    const told = await answer({ replies: [right], agent: { instructions: 'Be brief.' } })
    expect(told.model.calls[0]?.instructions).toMatch(
      /^Be brief\.\n\nWhen you give your final answer.*JSON Schema:\n\{.*degrees/s,
    )
    const held = await answer({ replies: [right], agent: { instructions: 'Be brief.' }, enforces: true })
    expect(held.model.calls[0]?.instructions).toBe('Be brief.')
    expect(held.model.calls[0]?.outputSchema).toBeDefined()
  })

  test.each<[string, string]>([
    ['in a fence', `\`\`\`json\n${right}\n\`\`\``],
    ['in a fence on one line', `\`\`\`json${right}\`\`\``],
    ['in a fence on one line with spaces', `\`\`\`JSON ${right} \`\`\``],
    ['in a fence on one line without a language', `\`\`\`${right}\`\`\``],
    ['that begins on the line of its fence', `\`\`\`json${right.replace(',', ',\n')}\n\`\`\``],
    ['in a fence without a language, on one line', `\`\`\`\n${right}\`\`\``],
    ['with white space around it', `\n  ${right} \n`],
    // Models that are held to JSON are known to run away in white space: 300,000 lines took seconds.
    ['in a fence behind endless white space', `\`\`\`json\n${'\n'.repeat(300_000)}${right}\n\`\`\``],
  ])('may stand %s', async (_name, said) => {
    const { run, text } = await answer({ replies: [{ text: [said] }] })
    expect(run.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
    expect(text).toBe(said)
  })

  test.each<[string, ZodOrJsonSchema, string, unknown]>([
    ['a list', z.array(z.string()), '["a","b"]', ['a', 'b']],
    ['a list by JSON Schema', { type: 'array', items: { type: 'string' } }, '["a"]', ['a']],
    ['a number', z.number(), '42', 42],
    ['a text', z.enum(['yes', 'no']), '"yes"', 'yes'],
    ['nothing', z.null(), 'null', null],
    [
      'one of several',
      z.union([z.object({ a: z.string() }), z.object({ b: z.string() })]),
      '{"b":"x"}',
      { b: 'x' },
    ],
  ])(
    'may be %s: told in words alone, for providers take objects only',
    async (_name, output, said, value) => {
      const { run, model } = await answer({ replies: [said], output, enforces: true })
      expect(run).toMatchObject({ status: 'completed', steps: 1 })
      expect(run.output_parsed).toEqual(value)
      expect(model.calls[0]).not.toHaveProperty('outputSchema')
      expect(model.calls[0]?.instructions).toContain('JSON Schema')
    },
  )

  test('may be recursive, and may be huge', async () => {
    const Node = z.object({
      name: z.string(),
      get children() {
        return z.array(Node)
      },
    })
    const small = { name: 'leaf'.repeat(50), children: [] }
    const tree = { name: 'root', children: Array.from({ length: 5_000 }, () => small) }
    const { run } = await answer({ replies: [{ text: [JSON.stringify(tree)] }], output: Node })
    expect(run.output_parsed).toEqual(tree)
  })

  test('is changed by the schema: defaults, transforms, what takes its time', async () => {
    const output = z.object({
      count: z.string().transform(Number),
      unit: z.string().default('°C'),
      city: z.string().refine(async (city) => (await Promise.resolve(city)) !== 'Atlantis', 'no such city'),
      day: z.iso.date().transform((text) => new Date(text)),
    })
    const said = '{"count":"7","city":"Oslo","day":"2026-11-21"}'
    const bad = '{"count":"7","city":"Atlantis","day":"2026-11-21"}'
    const { run, model, text } = await answer({ replies: [bad, said], output })
    expect(run.output_parsed).toEqual({ count: 7, unit: '°C', city: 'Oslo', day: '2026-11-21T00:00:00.000Z' })
    expect(text).toBe(said)
    expect(transcript(model.calls[1]).at(-1)).toContain('city: no such city')
    expect(model.calls[0]?.outputSchema).toMatchObject({ properties: { count: { type: 'string' } } })
  })
})

describe('an answer that does not', () => {
  test('is corrected in the same run: the model reads what is wrong, clients that a new answer comes', async () => {
    const { run, text, types, events, model, engine } = await answer({
      replies: [
        { text: [wrong], usage: usage(10) },
        { text: [right], usage: usage(20) },
      ],
    })
    expect(types.join(' ')).toBe(
      'run.start step.start text.start text.delta text.end step.end warning step.start text.start text.delta text.end step.end run.end',
    )
    expect(eventsOfType(events, 'warning')).toMatchObject([
      { code: 'output_invalid', message: expect.stringContaining('degrees') as string },
    ])
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final', steps: 2, usage: usage(30) })
    expect(run.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
    expect(text).toBe(right)
    const [asked, said, corrected] = transcript(model.calls[1])
    expect([asked, said]).toEqual(['user: hello', `assistant: ${wrong}`])
    expect(corrected).toMatch(
      /^user: Your answer does not satisfy the required JSON Schema\. degrees: .*\n.*"degrees"/,
    )
    expect(notes(await engine.items(run))).toMatchObject([{ step: 0, item: { kind: 'correction' } }])
    expect(await engine.events(run)).toEqual(events)
  })

  test('is corrected twice, then the run fails and keeps what was said last', async () => {
    const replies = ['one', 'two', 'three'].map((text) => ({ text, usage: usage(10) }))
    const { run, text, events, engine } = await answer({ replies })
    expect(run).toMatchObject({ status: 'failed', stop_reason: 'error', steps: 3, usage: usage(30) })
    expect(run.error?.code).toBe('output_invalid')
    expect(run.error?.message).toMatch(/^The answer does not satisfy the schema\. It is not JSON: .*three/)
    expect(run.output_parsed).toBeNull()
    expect(text).toBe('three')
    expect(eventsOfType(events, 'step.end')).toHaveLength(3)
    expect(eventsOfType(events, 'warning')).toHaveLength(2)
    expect(events.at(-1)).toMatchObject({ type: 'run.end', usage: usage(30), steps: 3, output: run.output })
    expect(notes(await engine.items(run))).toHaveLength(2)
  })

  test('is corrected where it is made of more values than anybody checks', async () => {
    const many = JSON.stringify(Array(50_001).fill('x'))
    const { run, events } = await answer({
      replies: [{ text: [many] }, '["x"]'],
      output: z.array(z.string()),
    })
    expect(run.output_parsed).toEqual(['x'])
    expect(eventsOfType(events, 'warning')[0]?.message).toContain('more than 50000 values')
  })

  test('is not sent in later runs, nor its correction, nor what was thought for it', async () => {
    const replies: ScriptedReply[] = [
      { reasoning: 'Hm.', text: [wrong] },
      { reasoning: 'Ah.', text: [right] },
      right,
    ]
    const { engine, model } = await answer({ replies })
    await engine.finish({ conversation: { session: 's' }, input: 'again' })
    expect(transcript(model.calls[2])).toEqual([
      'user: hello',
      'reasoning: Ah.',
      `assistant: ${right}`,
      'user: again',
    ])
  })

  test.each<[string, ScriptedReply, RegExp]>([
    ['empty', { text: [] }, /It is empty/],
    ['prose', 'Oslo has 7 degrees.', /It is not JSON/],
    ['JSON in prose', `Here you are: ${right}`, /It is not JSON/],
    ['nested too deep', { text: ['['.repeat(50_000)] }, /It nests too deep/],
    ['of another shape', '[1]', /expected object/],
    [
      'cut at the limit of its length',
      { text: [right.slice(0, 9)], finishReason: 'length' },
      /cut at the limit.*shorter/s,
    ],
  ])('may be %s', async (_name, said, told) => {
    const { run, model } = await answer({ replies: [said, right] })
    expect(transcript(model.calls[1]).at(-1)).toMatch(told)
    expect(run).toMatchObject({ status: 'completed', steps: 2 })
  })

  test('may be the beginning of a number', async () => {
    const cut: ScriptedReply = { text: '12', finishReason: 'length' }
    const { run } = await answer({ replies: [cut, '1234'], output: z.number() })
    expect(run.output_parsed).toBe(1234)
  })

  test('that is whole at the limit of its length does', async () => {
    const { run } = await answer({ replies: [{ text: [right], finishReason: 'length' }] })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'max_output_tokens', steps: 1 })
    expect(run.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
  })

  test('is no answer where the provider filtered it: nothing is checked', async () => {
    const { run, events } = await answer({ replies: [{ text: 'I cannot', finishReason: 'content_filter' }] })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'content_filter', output_parsed: null })
    expect(eventsOfType(events, 'warning').map(({ code }) => code)).toEqual(['content_filter'])
  })

  test('is no answer where a hook refuses it', async () => {
    const hooks = { afterModel: () => ({ refuse: { code: 'content_filter' as const, message: 'No.' } }) }
    const { run } = await answer({ replies: [wrong], agent: { hooks } })
    expect(run).toMatchObject({
      status: 'completed',
      stop_reason: 'content_filter',
      output_parsed: null,
      output: [],
    })
  })
})

describe('with tools', () => {
  const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => '7 degrees' })
  const callLook = (text?: string): ScriptedReply => ({
    toolCalls: [{ name: 'look', arguments: {} }],
    ...(text === undefined ? {} : { text }),
  })

  test('only the answer is checked, not what is said beside calls', async () => {
    const { run, model } = await answer({
      replies: [callLook('Let me look.'), right],
      agent: { tools: [look] },
    })
    expect(run).toMatchObject({ status: 'completed', steps: 2 })
    expect(model.calls.map(({ outputSchema }) => outputSchema !== undefined)).toEqual([true, true])
  })

  test('a correction may be answered with another call', async () => {
    const { run } = await answer({ replies: [wrong, callLook(), right], agent: { tools: [look] } })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final', steps: 3 })
  })

  test('corrections leave the limit of steps as it is', async () => {
    const { run, types } = await answer({ replies: [wrong, right], agent: { maxSteps: 1 } })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final', steps: 2, forced: false })
    expect(types.filter((type) => type === 'warning')).toHaveLength(1)
    const unforced = await answer({ replies: [wrong, right], agent: { maxSteps: 1, forceAnswer: false } })
    expect(unforced.run).toMatchObject({ stop_reason: 'final', steps: 2 })
  })

  test('a forced answer is checked and corrected too, without calls', async () => {
    const { run, model, events } = await answer({
      replies: [callLook(), wrong, right],
      agent: { tools: [look], maxSteps: 1 },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'max_steps', forced: true, steps: 3 })
    expect(run.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
    expect(model.calls.map(({ toolChoice }) => toolChoice)).toEqual([undefined, 'none', 'none'])
    expect(eventsOfType(events, 'warning').map(({ code }) => code)).toEqual(['max_steps', 'output_invalid'])
  })

  test('a run without a forced answer ends with what there is, unchecked', async () => {
    const { run, text } = await answer({
      replies: [callLook('Let me look.')],
      agent: { tools: [look], maxSteps: 1, forceAnswer: false },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'max_steps', output_parsed: null })
    expect(text).toBe('Let me look.')
  })
})

describe('a schema of the author’s', () => {
  test('that throws, or makes what is no JSON, is a bug: coded, logged, and no secret', async () => {
    const outputs = [
      z.object({ city: z.string() }).refine(() => {
        throw new Error('the database password is hunter2')
      }),
      z.object({ city: z.string() }).transform(() => 10n),
      z.object({ city: z.string() }).transform(() => undefined),
    ]
    for (const output of outputs) {
      const { run, events, log, text, engine } = await answer({ replies: [wrong], output })
      expect(run).toMatchObject({ status: 'failed', steps: 1, error: { code: 'internal' } })
      expect(JSON.stringify(events)).not.toContain('hunter2')
      // What was said stays.
      expect(text).toBe(wrong)
      expect(eventsOfType(events, 'step.end')).toHaveLength(1)
      expect(await engine.events(run)).toEqual(events)
      expect(log.lines().filter(({ level }) => level === 'error')).toHaveLength(1)
    }
  })

  test.each<[string, Partial<RunRecord>]>([
    ['is cancelled', { status: 'cancelled', steps: 1 }],
    ['times out', { status: 'failed', stop_reason: 'timeout', steps: 1 }],
    ['is given back', { status: 'queued', steps: 0, output: [] }],
  ])('that still checks when the run %s: the answer that was shown is kept', async (how, expected) => {
    const clock = createFakeClock()
    const checking = deferred()
    const output = z.object({ city: z.string() }).refine(() => {
      checking.resolve()
      return new Promise<boolean>(() => {})
    })
    const engine = await startEngine({
      model: scriptedModel([right]),
      agent: { output },
      clock,
      runTimeoutMs: 5_000,
    })
    const run = await engine.start()
    const seen = engine.events(run)
    await checking.promise
    if (how === 'is cancelled') await engine.runs.cancel(anonymous, run.id, 'enough')
    else if (how === 'times out') await clock.advance(5_000)
    else {
      const drained = engine.drain(0)
      await clock.advance(0)
      await drained
    }
    if (how !== 'is given back') await seen
    const after = await engine.load(run)
    expect(after).toMatchObject(expected)
    const isGivenBack = how === 'is given back'
    const said = (await engine.items(run)).filter(({ step }) => step !== null)
    expect(said).toMatchObject([{ step: 0, void: isGivenBack, item: { content: [{ text: right }] } }])
    if (isGivenBack) {
      // The next holder asks for the same step again.
      const log = await engine.store.log.read({ run_id: run.id, after: 0, max_batches: 10 })
      expect(log.events.slice(-2)).toMatchObject([{ type: 'text.end' }, { type: 'step.retry', step: 0 }])
      return
    }
    expect(await engine.text(after)).toBe(right)
    expect((await seen).slice(-2)).toMatchObject([
      { type: 'step.end', step: 0 },
      { type: 'run.end', steps: 1, output: after.output },
    ])
    expect(await engine.events(after)).toEqual(await seen)
  })

  test('that has no counterpart in JSON is refused when the agent is made', () => {
    const make = (output: ZodOrJsonSchema) => () => agent({ name: 'a', output })
    expect(make(z.object({ day: z.date() }))).toThrow(/agent a: output: Date cannot be represented/)
    expect(make({ not: { type: 'string' } })).toThrow(/agent a: output: not is not supported$/)
    expect(make({ type: 'object', properties: { a: { $ref: '#/$defs/b' } } })).toThrow(/Reference not found/)
  })
})

describe('a schema of the request', () => {
  const closed = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }

  test('stands instead of the agent’s, for this run alone', async () => {
    const { run, model, engine } = await answer({
      replies: ['{"ok":true}', right],
      output: weather,
      options: { output_schema: closed },
    })
    expect(run.output_parsed).toEqual({ ok: true })
    expect(model.calls[0]?.outputSchema).toEqual(closed)
    expect((await engine.finish()).run.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
  })

  test.each<[string, Record<string, unknown>]>([
    ['cannot be checked', { type: 'object', not: { required: ['a'] } }],
    ['allows nothing', { not: {} }],
    ['has no value to choose', { type: 'string', enum: [] }],
    ['is none', { type: 'sentence' }],
    ['goes round in circles', { $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }],
    ['has a broken pattern', { type: 'string', pattern: '(' }],
  ])('that %s is refused before the run is', async (_name, schema) => {
    const engine = await startEngine({ model: scriptedModel([]) })
    await expect(engine.start({ options: { output_schema: schema } })).rejects.toMatchObject({
      code: 'invalid_request',
      locations: [{ path: ['body', 'output_schema'] }],
    })
  })

  test.each(['of a request', 'of the agent'])(
    'whose pattern would never end cannot hold the server: %s, the run fails at once',
    async (whose) => {
      const said = JSON.stringify(`${'a'.repeat(60)}!`)
      const schema = { type: 'string', pattern: '^(a+)+$' }
      const own = whose === 'of the agent'
      const { run, model, text } = await answer({
        replies: [said, '"aaa"'],
        ...(own ? { output: schema } : { options: { output_schema: schema } }),
      })
      expect(run).toMatchObject({ status: 'failed', steps: 1, error: { code: 'output_invalid' } })
      expect(run.error?.message).toMatch(/could not be checked in time|cannot be checked: took longer than/)
      expect(text).toBe(said)
      expect(model.calls).toHaveLength(1)
    },
  )

  test('is read once, however many requests bring it', () => {
    const once = requestedOutput({ type: 'object', properties: { read: { type: 'string' } } })
    expect(requestedOutput({ type: 'object', properties: { read: { type: 'string' } } })).toBe(once)
    const other = { type: 'object', properties: { read: { type: 'number' } } }
    expect(requestedOutput(other).parse({ read: 'x' })).toMatchObject({ ok: false })
    // Not for ever.
    for (let i = 0; i < 100; i++) requestedOutput({ const: i })
    expect(requestedOutput({ type: 'object', properties: { read: { type: 'string' } } })).not.toBe(once)
  })

  test('may be made of a thousand values', async () => {
    const listOf = (count: number) => ({ enum: Array.from({ length: count }, (_, index) => `v${index}`) })
    const { run } = await answer({ replies: ['"v997"'], options: { output_schema: listOf(998) } })
    expect(run.output_parsed).toBe('v997')
    const engine = await startEngine({ model: scriptedModel([]) })
    await expect(engine.start({ options: { output_schema: listOf(999) } })).rejects.toMatchObject({
      code: 'invalid_request',
      locations: [{ path: ['body', 'output_schema'], message: expect.stringContaining('1000 values') }],
    })
  })
})

describe('with several agents', () => {
  const reporter = (replies: readonly ScriptedReply[], output: ZodOrJsonSchema | undefined = weather) =>
    agent({
      name: 'reporter',
      description: 'Reports the weather.',
      model: scriptedModel(replies, { id: 'scripted/reporter' }),
      ...(output && { output }),
    })
  const askReporter: ScriptedReply = { toolCalls: [{ name: 'reporter', arguments: { task: 'Oslo?' } }] }

  test('one that serves as a tool gives the value of its answer', async () => {
    const withUnit = weather.extend({ unit: z.string().default('°C') })
    const served = reporter([wrong, `\`\`\`json\n${right}\n\`\`\``], withUnit)
    const model = scriptedModel([askReporter, 'Seven.'])
    const engine = await startEngine({ model, agent: { tools: [served.asTool()] } })
    const { run, text, events } = await engine.finish()
    expect(text).toBe('Seven.')
    expect(run.output_parsed).toBeNull()
    expect(eventsOfType(events, 'tool.end')).toMatchObject([
      { output: '{"city":"Oslo","degrees":7,"unit":"°C"}' },
    ])
    expect(transcript(model.calls[1]).join()).not.toContain('Your answer does not satisfy')
  })

  test('one that serves as a tool and finds no right answer has failed as a tool does', async () => {
    const served = reporter([wrong, wrong, wrong])
    const model = scriptedModel([askReporter, 'I do not know.'])
    const engine = await startEngine({ model, agent: { tools: [served.asTool()] } })
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final' })
    expect(eventsOfType(events, 'tool.end')).toMatchObject([
      {
        output: expect.stringMatching(/^Error: .* satisfy the schema\. degrees: /) as string,
        error: { code: 'tool_failed' },
      },
    ])
  })

  test('a specialist answers by its own schema, else by that of the agent that was called', async () => {
    const city = z.object({ city: z.string() })
    for (const [own, value] of [
      [weather, { city: 'Oslo', degrees: 7 }],
      [undefined, { city: 'Oslo' }],
    ] as const) {
      const replies = own ? [wrong, right] : ['Oslo', wrong]
      const options = { name: 'reporter', model: scriptedModel(replies), ...(own && { output: own }) }
      const desk = agent({
        name: 'assistant',
        output: city,
        model: scriptedModel([]),
        specialists: [{ agent: agent(options), keywords: ['hello'] }],
      })
      const engine = await startEngine({ agents: [desk] })
      const { run } = await engine.finish()
      expect(run).toMatchObject({
        status: 'completed',
        active_agent: 'reporter',
        output_parsed: value,
        steps: 2,
      })
    }
  })
})
