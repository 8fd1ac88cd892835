import { describe, expect, test } from 'vitest'
import { agent, definitionHash } from '../../src/agent/agent.ts'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import type { InstructionsContext } from '../../src/agent/definitions.ts'
import { template } from '../../src/agent/instructions.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine } from './engine-under-test.ts'

const always = () => scriptedModel(['ok'], { atEnd: 'repeat' })

async function filled(text: string, run_context: Record<string, unknown>): Promise<string | undefined> {
  const model = always()
  const engine = await startEngine({ model, agent: { instructions: template(text) } })
  await engine.finish({ options: { run_context } })
  return model.calls[0]?.instructions
}

const missing = (...names: string[]) =>
  expect.objectContaining({
    code: 'run_context_missing',
    status: 400,
    message: `The agent's instructions need ${names.join(', ')} in run_context.`,
    locations: names.map((name) => ({
      path: ['body', 'run_context', ...name.split('.')],
      message: 'missing',
    })),
  })

describe('a template', () => {
  test.each<[string, string, Record<string, unknown>, string]>([
    ['text', 'Help {{ name }}!', { name: 'Ann' }, 'Help Ann!'],
    ['nothing but an empty text', 'Help {{name}}!', { name: '' }, 'Help !'],
    ['a path', '{{a.b.c}}', { a: { b: { c: 'deep' } } }, 'deep'],
    ['a place in a list', '{{names.1}} of {{names.length}}', { names: ['Ann', 'Bo'] }, 'Bo of 2'],
    [
      'numbers and flags',
      '{{count}} {{zero}} {{sure}} {{not}}',
      { count: 3, zero: 0, sure: true, not: false },
      '3 0 true false',
    ],
    ['an object as JSON', 'Customer: {{customer}}', { customer: { id: 7 } }, 'Customer: {"id":7}'],
    ['the same twice', '{{a}}{{a}}', { a: 'x' }, 'xx'],
    ['a name with a hyphen', '{{user-id}}', { 'user-id': 'u1' }, 'u1'],
  ])('is filled with %s', async (_what, text, context, expected) => {
    expect(await filled(text, context)).toBe(expected)
  })

  test('takes values as they are: braces, patterns and paths in them mean nothing', async () => {
    const context = { a: '{{secret}} $& $1 \\{{b}}', secret: 'shown to nobody', b: 'x' }
    expect(await filled('A: {{a}}', context)).toBe('A: {{secret}} $& $1 \\{{b}}')
  })

  test('keeps braces that are escaped', async () => {
    expect(await filled('Write \\{{first_name}} to {{who}}.', { who: 'Ann' })).toBe(
      'Write {{first_name}} to Ann.',
    )
  })

  test('is filled anew for each run', async () => {
    const model = always()
    const engine = await startEngine({ model, agent: { instructions: template('For {{who}}.') } })
    for (const who of ['Ann', 'Bo']) await engine.finish({ options: { run_context: { who } } })
    expect(model.calls.map(({ instructions }) => instructions)).toEqual(['For Ann.', 'For Bo.'])
  })

  test.each<[string, string, unknown]>([
    ['is absent', 'name', {}],
    ['is null', 'name', { name: null }],
    ['lies in a text', 'name.length', { name: 'Ann' }],
    ['lies in nothing', 'a.b', { a: null }],
    ['every object has from its class', 'constructor', {}],
    ['every object has from its prototype', '__proto__', {}],
    ['lies in a prototype', 'a.__proto__.x', { a: {} }],
    ['lies in a constructor', 'a.constructor.name', { a: {} }],
    ['is a method of a list', 'list.map', { list: [] }],
    ['is a hole beyond a list', 'list.2', { list: [1] }],
  ])('is refused a value that %s', async (_why, name, run_context) => {
    const engine = await startEngine({ model: always(), agent: { instructions: template(`{{${name}}}`) } })
    const options = { run_context: run_context as Record<string, unknown> }
    await expect(engine.start({ options })).rejects.toEqual(missing(name))
    expect(engine.gauges().activeRuns).toBe(0)
    const { data } = await engine.runs.list(anonymous, { limit: 10 })
    expect(data).toEqual([])
  })

  test('names all that is missing', async () => {
    const engine = await startEngine({
      model: always(),
      agent: { instructions: template('{{a}} {{b.c}} {{d}}') },
    })
    await expect(engine.start({ options: { run_context: { d: 1 } } })).rejects.toEqual(missing('a', 'b.c'))
    await expect(engine.start()).rejects.toEqual(missing('a', 'b.c', 'd'))
  })

  test('asks for nothing where the request’s instructions stand instead', async () => {
    const model = always()
    const engine = await startEngine({
      model,
      agent: { instructions: template('{{a}}'), overrides: { instructions: 'replace' } },
    })
    const { run } = await engine.finish({ options: { instructions: 'Mine.' } })
    expect(run.status).toBe('completed')
    expect(model.calls[0]?.instructions).toBe('Mine.')
    await expect(engine.start()).rejects.toEqual(missing('a'))
  })

  test('is part of what a run depends on', () => {
    const hashOf = (instructions: NonNullable<AgentOptions['instructions']>) =>
      definitionHash(agent({ name: 'a', instructions }), 'm')
    expect(hashOf(template('Help {{a}}.'))).toBe(hashOf(template('Help {{a}}.')))
    const others = [template('Serve {{a}}.'), template('Help {{b}}.'), 'Help {{a}}.', () => 'Help.']
    expect(new Set([template('Help {{a}}.'), ...others].map(hashOf)).size).toBe(5)
  })
})

describe('over HTTP', () => {
  async function start() {
    const model = always()
    const server = await createTestServer({
      agents: [agent({ name: 'assistant', model, instructions: template('For {{customer.name}}.') })],
    })
    return { model, server }
  }

  test('a value that is missing is a 400 with its place, and nothing is stored', async () => {
    const { server, model } = await start()
    const request = (run_context: unknown, more: object = {}) =>
      server.request('/v1/agents/assistant/runs', {
        body: { input: 'hi', session_id: 's', run_context, ...more },
      })
    for (const more of [{}, { stream: true }, { background: true }]) {
      const response = await request({ customer: {} }, more)
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({
        code: 'run_context_missing',
        errors: [{ path: ['body', 'run_context', 'customer', 'name'], message: 'missing' }],
      })
    }
    expect(await (await server.request('/v1/runs')).json()).toMatchObject({ data: [] })
    expect((await server.request('/sessions/s')).status).toBe(404)
    const response = await request({ customer: { name: 'Ann' } })
    expect(response.status).toBe(200)
    expect(model.calls.map(({ instructions }) => instructions)).toEqual(['For Ann.'])
    await server.close()
  })

  test('keys that mean something to objects are values like others', async () => {
    const model = always()
    const server = await createTestServer({
      agents: [agent({ name: 'assistant', model, instructions: template('{{constructor}} {{a.toString}}') })],
    })
    const body = '{"input":"hi","run_context":{"constructor":"c","a":{"toString":"t"},"__proto__":{"x":1}}}'
    const response = await server.request('/v1/agents/assistant/runs', { body })
    expect(response.status).toBe(200)
    expect(model.calls[0]?.instructions).toBe('c t')
    expect(Object.hasOwn(Object.prototype, 'x')).toBe(false)
    await server.close()
  })

  test('the quick routes take no run_context: they refuse in their own words', async () => {
    const { server } = await start()
    const body = { message: 'hi', run_context: { customer: { name: 'Ann' } } }
    for (const [path, init] of [
      ['/chat', { body }],
      ['/stream', { body }],
      ['/stream?message=hi', {}],
    ] as const) {
      const response = await server.request(path, init)
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({
        code: 'run_context_missing',
        detail: "The agent's instructions need customer.name in run_context.",
      })
    }
    await server.close()
  })
})

describe('a function', () => {
  const withFunction = async (
    instructions: (context: InstructionsContext) => string | Promise<string>,
    replies: readonly ScriptedReply[] = ['ok'],
  ) => {
    const model = scriptedModel(replies)
    const engine = await startEngine({ model, agent: { instructions } })
    return { model, engine }
  }

  test('is asked before each step', async () => {
    let count = 0
    const { model, engine } = await withFunction(
      () => Promise.resolve(`step ${count++}`),
      [{ toolCalls: [{ name: 'none', arguments: {} }] }, 'ok'],
    )
    await engine.finish()
    expect(model.calls.map(({ instructions }) => instructions)).toEqual(['step 0', 'step 1'])
  })

  test.each<[string, () => string | Promise<string>]>([
    [
      'throws',
      () => {
        throw new Error('secret')
      },
    ],
    ['rejects', () => Promise.reject(new Error('secret'))],
    // An author without TypeScript.
    ['gives no text', () => undefined as unknown as string],
    ['gives another thing', async () => ({ secret: true }) as unknown as string],
  ])('that %s fails the run, and its words reach nobody', async (_what, instructions) => {
    const { engine, model } = await withFunction(instructions)
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
    expect(JSON.stringify([run, events])).not.toContain('secret')
    expect(model.calls).toEqual([])
  })

  test('that never ends does not keep the run from being cancelled', async () => {
    const asked = deferred()
    const { engine } = await withFunction(() => (asked.resolve(), new Promise(() => {})))
    const run = await engine.start()
    await asked.promise
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect((await engine.load(run)).status).toBe('cancelled')
  })
})

describe('agents that a run comes to', () => {
  const expert = (replies: ScriptedReply[] = ['From expert.']) =>
    agent({
      name: 'expert',
      model: scriptedModel(replies),
      instructions: template('For {{who}}.'),
    })

  test('a specialist with a template gets its values, or fails the run with their names', async () => {
    const router = agent({
      name: 'assistant',
      model: always(),
      specialists: [{ agent: expert(['From expert.']), keywords: ['expert'] }],
    })
    const engine = await startEngine({ agents: [router] })
    const good = await engine.finish({ input: 'expert', options: { run_context: { who: 'Ann' } } })
    expect(good.text).toBe('From expert.')
    const bad = await engine.finish({ input: 'expert' })
    expect(bad.run).toMatchObject({ status: 'failed', error: { code: 'run_context_missing' } })
    expect(bad.run.error?.message).toContain('who')
    const unaffected = await engine.finish({ input: 'something else' })
    expect(unaffected.run.status).toBe('completed')
  })

  test('one that the run is handed to likewise', async () => {
    const toExpert = { toolCalls: [{ name: 'transfer_to_expert', arguments: {} }] }
    const front = agent({ name: 'assistant', model: scriptedModel([toExpert]), handoffs: [expert()] })
    const engine = await startEngine({ agents: [front] })
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', error: { code: 'run_context_missing' } })
    expect(eventsOfType(events, 'agent.switch')).toHaveLength(1)
  })

  test('one that serves as a tool fails its call, and the run goes on', async () => {
    const call = { toolCalls: [{ name: 'expert', arguments: { task: 'help' } }] }
    const boss = agent({
      name: 'assistant',
      model: scriptedModel([call, 'Sorry.']),
      tools: [expert().asTool()],
    })
    const engine = await startEngine({ agents: [boss] })
    const { run, events } = await engine.finish()
    expect(run.status).toBe('completed')
    expect(eventsOfType(events, 'tool.end')).toMatchObject([
      { error: { code: 'tool_failed', message: expect.stringContaining('need who in run_context') } },
    ])
  })
})

test('a plan is written under the same instructions, and a missing value of a specialist ends it there', async () => {
  const plans = scriptedModel(['Plan'])
  const look = tool({ name: 'look', description: 'Looks.', execute: () => 'seen' })
  const expert = agent({
    name: 'expert',
    model: scriptedModel(['Done.']),
    instructions: template('For {{who}}.'),
    tools: [look],
    planning: { every: 1, model: plans },
  })
  const router = agent({
    name: 'assistant',
    model: always(),
    specialists: [{ agent: expert, keywords: ['expert'] }],
  })
  const engine = await startEngine({ agents: [router] })
  expect((await engine.finish({ input: 'expert' })).run.error?.code).toBe('run_context_missing')
  expect(plans.calls).toEqual([])
  await engine.finish({ input: 'expert', options: { run_context: { who: 'Ann' } } })
  expect(plans.calls[0]?.instructions).toContain('For Ann.')
})
