import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { agent, definitionHash } from './agent.ts'
import { DefinitionError } from '../parse-definition.ts'
import { tool } from './tool.ts'

const noop = (name: string) => tool({ name, description: 'Nothing.', execute: () => undefined })

describe('an agent', () => {
  test('has its defaults filled in, and cannot be changed', () => {
    const made = agent({ name: 'a' })
    expect(made).toMatchObject({
      description: '',
      models: [],
      instructions: '',
      tools: [],
      maxSteps: 10,
      forceAnswer: true,
      toolConcurrency: 8,
      modelTries: 3,
      history: {},
      approvalTimeoutMs: 7 * 24 * 3_600_000,
      overrides: { instructions: 'append', model: false, maxStepsUpTo: 10 },
    })
    expect(Object.isFrozen(made)).toBe(true)
  })

  test('keeps what it is given, a null for ever included', () => {
    const made = agent({
      name: 'a',
      maxSteps: 3,
      approvalTimeoutMs: null,
      overrides: { instructions: 'never' },
    })
    expect(made).toMatchObject({
      maxSteps: 3,
      approvalTimeoutMs: null,
      overrides: { instructions: 'never', maxStepsUpTo: 3 },
    })
  })

  test.each(['', 'with space', 'a/b', 'x'.repeat(65), 'ü'])('cannot be named %j', (name) => {
    expect(() => agent({ name })).toThrow(TypeError)
    expect(() => noop(name)).toThrow(TypeError)
  })

  test('cannot have two tools of one name', () => {
    expect(() => agent({ name: 'a', tools: [noop('t'), noop('t')] })).toThrow('two tools are named t')
  })

  test.each([
    ['maxSteps', { maxSteps: -1 }],
    ['maxSteps', { maxSteps: 1.5 }],
    ['toolConcurrency', { toolConcurrency: 0 }],
    ['modelTries', { modelTries: 0 }],
    ['modelTries', { modelTries: Number.NaN }],
  ])('cannot have a %s that would never end or never begin: %o', (name, options) => {
    expect(() => agent({ name: 'a', ...options })).toThrow(new RegExp(`agent a: ${name}`))
  })
})

test.each<[options: object, says: string]>([
  [{ title: 'helper' }, 'agent a: asTool: no such option: "title"; there are name, description'],
  [{ name: 'my helper' }, 'agent a: asTool my helper: name: must be 1 to 64'],
  [{ description: 5 }, 'agent a: asTool: description: must be text, not a number'],
])('an agent is no tool with %j', (options, says) => {
  expect(() => agent({ name: 'a' }).asTool(options)).toThrow(says)
})

describe('the hash of a definition', () => {
  const base = { name: 'a', instructions: 'Be kind.', tools: [noop('t')] }
  const hash = definitionHash(agent(base), 'm')

  test('is the same for the same definition', () => {
    expect(definitionHash(agent({ ...base, tools: [noop('t')] }), 'm')).toBe(hash)
    expect(hash).toMatch(/^[0-9a-f]{16}$/)
  })

  test.each([
    ['the model', agent(base), 'other'],
    ['the instructions', agent({ ...base, instructions: 'Be quick.' }), 'm'],
    ['an instructions function', agent({ ...base, instructions: () => 'Be kind.' }), 'm'],
    ['the limits', agent({ ...base, maxSteps: 1 }), 'm'],
    ['the tools', agent({ ...base, tools: [] }), 'm'],
    [
      'what a tool takes',
      agent({
        ...base,
        tools: [
          tool({ name: 't', description: 'Nothing.', input: z.object({ a: z.string() }), execute: () => 1 }),
        ],
      }),
      'm',
    ],
  ])('changes with %s', (_what, definition, model) => {
    expect(definitionHash(definition, model)).not.toBe(hash)
  })
})

describe('a tool', () => {
  test('is a write that nobody need approve, unless it says otherwise', async () => {
    const made = noop('t')
    expect(made).toMatchObject({ effect: 'write', timeoutMs: 60_000, maxOutputChars: 50_000 })
    expect(made.parameters).toEqual({ type: 'object', properties: {} })
    const context = {
      principal: { owner: 'o', namespace: '', name: 'o' },
      namespace: '',
      runId: 'r',
      conversationId: null,
      runContext: {},
    }
    expect(await made.needsApproval({}, context)).toBe(false)
    const gated = tool({ name: 't', description: '', approval: 'required', execute: () => 1 })
    expect(await gated.needsApproval({}, context)).toBe(true)
  })

  test('tells the model the schema of what it takes, and checks by it', () => {
    const made = tool({
      name: 't',
      description: 'Takes.',
      input: z.object({ n: z.number().default(1), list: z.array(z.string()) }),
      execute: () => 1,
    })
    expect(made.parameters).toMatchObject({ type: 'object', required: ['list'] })
    expect(made.parameters).not.toHaveProperty('$schema')
    expect(made.parse({ list: [] })).toEqual({ ok: true, value: { n: 1, list: [] } })
    expect(made.parse({ list: [7] })).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^list\.0: /),
    })
    expect(made.parse('text')).toMatchObject({ ok: false })
  })

  test('may be described by a JSON Schema', () => {
    const input = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }
    const made = tool({ name: 't', description: 'Takes.', input, execute: ({ n }) => n })
    expect(made.parameters).toBe(input)
    expect(made.parse({ n: 1 })).toEqual({ ok: true, value: { n: 1 } })
    expect(made.parse({ n: 'x' })).toMatchObject({ ok: false })
  })

  test('is not held by a pattern of a JSON Schema that would never end', () => {
    const input = { type: 'object', properties: { t: { type: 'string', pattern: '^(a+)+$' } } }
    const made = tool({ name: 't', description: 'Takes.', input, execute: () => 1 })
    const message = 'could not be checked in time'
    expect(made.parse({ t: `${'a'.repeat(60)}!` })).toEqual({ ok: false, message, tookTooLong: true })
    expect(made.parse({ t: 'aaa' })).toEqual({ ok: true, value: { t: 'aaa' } })
  })

  test('has no property that JSON Schemas cannot check', () => {
    const input = JSON.parse('{"type":"object","properties":{"__proto__":{}}}') as Record<string, unknown>
    expect(() => tool({ name: 't', description: 'Takes.', input, execute: () => 1 })).toThrow(
      new DefinitionError('tool t: input: no property may be named __proto__'),
    )
  })
})
