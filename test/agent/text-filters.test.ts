import { describe, expect, test } from 'vitest'
import type { FilterContext, Hooks, TextFilter } from '../../src/agent/hooks.ts'
import { createReplyBuilder } from '../../src/agent/reply-builder.ts'
import { filterReply } from '../../src/agent/reply-filter.ts'
import type { RunContext } from '../../src/agent/context.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { ModelPart } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { agent } from '../../src/agent/agent.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'

async function withHooks(hooks: Hooks | readonly Hooks[], replies: readonly ScriptedReply[]) {
  const model = scriptedModel(replies)
  return { model, engine: await startEngine({ model, agent: { hooks } }) }
}

/** Shouts, and gives out only what a space follows. */
function shout(): TextFilter {
  let held = ''
  return {
    push(delta) {
      held += delta
      const cut = held.lastIndexOf(' ') + 1
      const shown = held.slice(0, cut).toUpperCase()
      held = held.slice(cut)
      return shown
    },
    end: () => held.toUpperCase(),
  }
}

const text = (delta: string): ModelPart => ({ type: 'text', delta })

describe('a filter', () => {
  test('changes what is shown, kept, replayed and sent again', async () => {
    const { engine, model } = await withHooks({ filterText: shout }, [['one two', ' three'].join(''), 'x'])
    const { run, events, text: answer } = await engine.finish({ conversation: { session: 's' } })
    expect(eventsOfType(events, 'text.delta').map(({ delta }) => delta)).toEqual(['ONE ', 'TWO ', 'THREE'])
    expect(answer).toBe('ONE TWO THREE')
    expect(await engine.events(run)).toEqual(events)
    await engine.finish({ conversation: { session: 's' } })
    expect(transcript(model.calls[1])).toContain('assistant: ONE TWO THREE')
  })

  test('is asked for each block, and gives what it held at the end of each', async () => {
    const asked: string[] = []
    const hooks: Hooks = {
      filterText(kind) {
        asked.push(kind)
        return kind === 'text' ? shout() : undefined
      },
    }
    const parts: ModelPart[] = [
      { type: 'reasoning', delta: 'why ' },
      { type: 'reasoning', delta: 'not' },
      text('a b'),
      { type: 'text_end' },
      text('c d'),
      { type: 'tool_call', index: 0, name: 'none' },
      { type: 'tool_input', index: 0, delta: '{"q":"low"}' },
      text('e'),
    ]
    const { engine } = await withHooks(hooks, [{ parts }, 'ok'])
    const { events, run } = await engine.finish()
    expect(asked).toEqual(['reasoning', 'text', 'text', 'text', 'text'])
    expect(events.flatMap((event) => ('delta' in event ? [event.delta] : []))).toEqual([
      'why ',
      'not',
      'A ',
      'B',
      'C ',
      'D',
      '{"q":"low"}',
      'E',
      'OK',
    ])
    expect((await engine.items(run)).slice(1, 6).map(({ item }) => item.type)).toEqual([
      'reasoning',
      'message',
      'message',
      'tool_call',
      'message',
    ])
  })

  test('one after the other: each is given what the one before it gave, to its last word', async () => {
    const surround: Hooks = {
      filterText: () => ({ push: (delta) => (delta === '' ? '' : `<${delta}>`), end: () => '!' }),
    }
    const { engine } = await withHooks([{ filterText: shout }, {}, surround], ['one two'])
    expect((await engine.finish()).text).toBe('<ONE ><TWO>!')
  })

  test('gives what it held before a file of the model', async () => {
    const parts: ModelPart[] = [
      text('a b'),
      { type: 'file', url: 'data:,x', mediaType: 'image/png' },
      text('c'),
    ]
    const { engine } = await withHooks({ filterText: shout }, [{ parts }])
    const { run } = await engine.finish()
    const items = (await engine.items(run)).slice(1).map(({ item }) => item)
    expect(items.map((item) => (item.type === 'message' ? item.content : item.type))).toEqual([
      [{ type: 'text', text: 'A B' }],
      [{ type: 'image', url: 'data:,x', media_type: 'image/png' }],
      [{ type: 'text', text: 'C' }],
    ])
  })

  test('that gives nothing leaves no block', async () => {
    const { engine } = await withHooks({ filterText: () => ({ push: () => '', end: () => '' }) }, ['gone'])
    const { run, types } = await engine.finish()
    expect(types).toEqual(['run.start', 'step.start', 'step.end', 'run.end'])
    expect(run).toMatchObject({ status: 'completed', output: [] })
  })

  test('may cut characters in half: they are shown whole', async () => {
    const halves: Hooks = { filterText: () => ({ push: (delta) => delta, end: () => '' }) }
    const late: Hooks = {
      filterText() {
        let held = ''
        return {
          push(delta) {
            const shown = held + delta.slice(0, -1)
            held = delta.slice(-1)
            return shown
          },
          end: () => held,
        }
      },
    }
    const { engine } = await withHooks([late, halves], [{ text: ['a👍', 'b👍', '👍'] }])
    const { events, text: answer } = await engine.finish()
    expect(answer).toBe('a👍b👍👍')
    expect(eventsOfType(events, 'text.delta').map(({ delta }) => delta)).toEqual(['a', '👍b', '👍', '👍'])
  })

  test('what a provider keeps with a text goes where the text was changed, and stays where it was not', async () => {
    const filterText = (): TextFilter => ({ push: (delta) => delta.replace('secret', '…'), end: () => '' })
    const parts: ModelPart[] = [
      { type: 'reasoning', delta: 'a secret' },
      { type: 'reasoning_end', providerData: { signature: 'of secret' } },
      { type: 'reasoning', delta: 'open' },
      text('done'),
      { type: 'reasoning_end', providerData: { signature: 'of open' } },
      { type: 'text_end', providerData: { id: 1 } },
    ]
    const { engine } = await withHooks({ filterText }, [{ parts }])
    const { run } = await engine.finish()
    const items = (await engine.items(run)).slice(1).map(({ item }) => item)
    expect(items.map((item) => 'provider' in item && item.provider?.data)).toEqual([
      false,
      { signature: 'of open' },
      { id: 1 },
    ])
  })

  test('what it holds is dropped when the reply is given up, and not given to the next try', async () => {
    const fails = scriptedModel([{ text: ['one se', 'cret'], error: { code: 'model_unavailable' } }])
    const both = agent({
      name: 'assistant',
      model: [fails, scriptedModel(['fine'])],
      hooks: { filterText: shout },
    })
    const { events, text: answer } = await (await startEngine({ agents: [both] })).finish()
    expect(answer).toBe('FINE')
    expect(eventsOfType(events, 'text.delta').map(({ delta }) => delta)).toEqual(['ONE ', 'FINE'])
    expect(eventsOfType(events, 'text.end').map(({ partial }) => partial)).toEqual([true, undefined])
  })

  test('what it holds is dropped when the run is cancelled', async () => {
    const { engine } = await withHooks({ filterText: shout }, [{ text: ['one secret'], hang: true }])
    const run = await engine.start()
    await engine.reach(run, 'text.delta')
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect((await engine.items(run)).at(-1)?.item).toMatchObject({
      content: [{ type: 'text', text: 'ONE ' }],
      partial: true,
    })
  })
})

describe('a filter that throws', () => {
  const broken: Record<string, Hooks> = {
    'when it is made': {
      filterText() {
        throw new Error('a secret')
      },
    },
    'on a piece': {
      filterText: () => ({
        push() {
          throw new Error('a secret')
        },
        end: () => '',
      }),
    },
    'at the end': {
      filterText: () => ({
        push: () => '',
        end() {
          throw new Error('a secret')
        },
      }),
    },
  }

  test.each(Object.entries(broken))(
    '%s fails the run as internal, and no other model is asked',
    async (_when, hooks) => {
      const [first, second] = [scriptedModel(['a b c']), scriptedModel(['never'])]
      const both = agent({ name: 'assistant', model: [first, second], hooks })
      const engine = await startEngine({ agents: [both] })
      const { run, events } = await engine.finish()
      expect(run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
      expect(JSON.stringify(events)).not.toContain('secret')
      expect([first.calls.length, second.calls.length]).toEqual([1, 0])
    },
  )

  test('ends the model’s call at once', async () => {
    const { engine, model } = await withHooks(broken['on a piece']!, [{ text: 'a', hang: true }])
    expect((await engine.finish()).run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
    expect(model.aborted).toBe(1)
  })
})

test('a reply of more blocks than any model makes is the model’s fault, and not the filter’s', async () => {
  const turns = Array.from({ length: 5000 }, (_, i): ModelPart => ({
    type: i % 2 === 0 ? 'text' : 'reasoning',
    delta: 'a ',
  }))
  const [mad, sound] = [scriptedModel([{ parts: turns }]), scriptedModel(['fine'])]
  const both = agent({ name: 'assistant', model: [mad, sound], hooks: { filterText: shout } })
  const engine = await startEngine({ agents: [both] })
  const { run, events, text: answer } = await engine.finish()
  expect([run.status, answer]).toEqual(['completed', 'FINE'])
  expect(eventsOfType(events, 'step.retry')).toMatchObject([{ reason: 'model_bad_response' }])
  expect(eventsOfType(events, 'text.start').length).toBeLessThan(4096)
})

test('an afterModel that throws fails the run, and no other model is asked', async () => {
  const [first, second] = [scriptedModel(['a']), scriptedModel(['never'])]
  const hooks: Hooks = {
    afterModel() {
      throw new Error('a secret')
    },
  }
  const engine = await startEngine({ agents: [agent({ name: 'assistant', model: [first, second], hooks })] })
  expect((await engine.finish()).run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
  expect(second.calls).toHaveLength(0)
})

describe('a filter that refuses', () => {
  const refuseAt = (word: string, when: 'push' | 'end' = 'push'): Hooks => ({
    filterText(_kind, context: FilterContext) {
      let all = ''
      return {
        push(delta) {
          all += delta
          if (when === 'push' && all.includes(word)) context.refuse(`No ${word.length} letters.`)
          return delta
        },
        end() {
          if (when === 'end') context.refuse('Not so.')
          context.refuse('A second one.')
          return 'the end'
        },
      }
    },
  })

  test('ends the model’s call and the run; nothing from there on is shown or sent again', async () => {
    const { engine, model } = await withHooks(refuseAt('bad'), [
      { text: ['so ', 'bad', ' and more'], hang: true },
      'ok',
    ])
    const { run, events, types, text: answer } = await engine.finish({ conversation: { session: 's' } })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'content_filter', steps: 1, output: [] })
    expect(types).toEqual([
      'run.start',
      'step.start',
      'text.start',
      'text.delta',
      'text.end',
      'warning',
      'step.end',
      'warning',
      'run.end',
    ])
    expect(eventsOfType(events, 'text.delta')[0]).toMatchObject({ delta: 'so ' })
    expect(eventsOfType(events, 'step.end')[0]).toMatchObject({
      finish_reason: 'content_filter',
      usage: null,
    })
    expect(run.warnings).toMatchObject([
      { code: 'usage_estimated' },
      { code: 'content_filter', message: 'No 3 letters.' },
    ])
    expect(answer).toBe('')
    expect(model.aborted).toBe(1)
    expect(await engine.events(run)).toEqual(events)
    await engine.finish({ conversation: { session: 's' } })
    expect(transcript(model.calls[1])).toEqual(['user: hello', 'user: hello'])
  })

  test('at the end of a reply refuses it whole, with its first word', async () => {
    const { engine } = await withHooks(refuseAt('-', 'end'), ['fine so far'])
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ stop_reason: 'content_filter', output: [] })
    expect(eventsOfType(events, 'warning').map(({ message }) => message)).toEqual(['Not so.'])
    expect(JSON.stringify(events)).not.toContain('the end')
  })

  test('starts no tool', async () => {
    const { engine } = await withHooks(refuseAt('bad'), [
      { text: 'bad', toolCalls: [{ name: 'anything', arguments: {} }] },
    ])
    const { types } = await engine.finish()
    expect(types).not.toContain('tool.start')
    expect(types).not.toContain('tool.end')
  })
})

test('an agent without filters has the builder itself on its path', () => {
  const builder = createReplyBuilder({ log: {} as RunContext['log'], provider: 'p' })
  const definition = agent({ name: 'a', hooks: [{ afterModel: () => undefined }, {}] })
  expect(filterReply({ agent: definition } as RunContext, builder)).toBe(builder)
})

test('several hooks: each is given what the one before it made, and the first refusal stands', async () => {
  const seen: unknown[] = []
  const add = (word: string): Hooks => ({
    beforeModel: (request) => ({ ...request, instructions: `${request.instructions ?? ''}${word}` }),
    afterModel: ({ items }) => {
      seen.push(`${word}${items.length}`)
      return word === 'b' ? { refuse: { code: 'content_filter', message: `${word} says no` } } : undefined
    },
  })
  const { engine, model } = await withHooks([add('a'), add('b'), add('c')], ['x'])
  const { events } = await engine.finish()
  expect(model.calls[0]?.instructions).toBe('abc')
  expect(seen).toEqual(['a1', 'b1'])
  expect(eventsOfType(events, 'warning').map(({ message }) => message)).toEqual(['b says no'])
})

test('a hook sees what the request brought, and not what was said before', async () => {
  const seen: string[][] = []
  const hooks: Hooks = {
    beforeModel(_request, { input }) {
      seen.push(input.map((item) => (item.type === 'message' ? JSON.stringify(item.content) : item.type)))
      return undefined
    },
  }
  const { engine } = await withHooks(hooks, ['x', 'y'])
  for (const input of ['one', 'two']) await engine.finish({ input, conversation: { session: 's' } })
  expect(seen).toEqual([['[{"type":"text","text":"one"}]'], ['[{"type":"text","text":"two"}]']])
})

describe('a plan', () => {
  const planning = { every: 5 }

  test('is asked for with what the hooks leave of the request', async () => {
    const model = scriptedModel(['The plan.', 'Done.'])
    const hooks: Hooks = { beforeModel: (request) => ({ ...request, items: request.items.slice(0, 1) }) }
    const engine = await startEngine({ model, agent: { hooks, planning } })
    await engine.finish()
    expect(model.calls.map((call) => call.items.length)).toEqual([1, 1])
  })

  test('that a hook refuses ends the run as a refused reply does', async () => {
    const model = scriptedModel([])
    const hooks: Hooks = { beforeModel: () => ({ refuse: { code: 'content_filter', message: 'No.' } }) }
    const engine = await startEngine({ model, agent: { hooks, planning } })
    const { run, types } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'content_filter', steps: 0 })
    expect(types).toEqual(['run.start', 'warning', 'run.end'])
    expect(model.calls).toHaveLength(0)
  })
})

test('a filter is in nobody’s way while a reply streams', async () => {
  const more = deferred()
  const model = scriptedModel([
    { text: ['one ', 'two ', 'three'], gate: (index) => (index === 1 ? more.promise : undefined) },
  ])
  const engine = await startEngine({ model, agent: { hooks: { filterText: shout } } })
  const run = await engine.start()
  const { event } = await engine.reach(run, 'text.delta')
  expect(event.delta).toBe('ONE ')
  more.resolve()
  expect((await engine.settled(run)).status).toBe('completed')
})
