import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { ToolEffect } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import type { Item } from '../../src/items.ts'
import type { ModelRequest } from '../../src/models/model.ts'
import type { Notebook, Scenario } from './crash-points.ts'

const call = (name: string, args: Record<string, unknown> = {}) => ({ name, arguments: args })

/** How many replies with calls have been answered since the user's newest message. */
function stepOf({ items }: ModelRequest): number {
  const since = items.slice(items.findLastIndex((item) => isUser(item)) + 1)
  return since.filter((item, i) => item.type === 'tool_result' && since[i + 1]?.type !== 'tool_result').length
}

function isUser(item: Item): boolean {
  return (
    item.type === 'message' && item.role === 'user' && !/^(The plan|Your answer|\d+ %)/.test(textOf(item))
  )
}

function textOf(item: Item | undefined): string {
  if (item?.type !== 'message') return ''
  return item.content.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

function effectTool(
  notebook: Notebook,
  options: {
    name: string
    effect?: ToolEffect
    approval?: 'required'
    questions?: readonly string[]
    onRun?: () => void
  },
) {
  const { name, effect = 'idempotent', approval, questions = [] } = options
  return tool({
    name,
    description: name,
    effect,
    ...(approval ? { approval } : {}),
    input: z.object({ id: z.string().optional() }),
    async execute({ id = '' }, context) {
      const answers: unknown[] = []
      for (const message of questions) {
        const answer = await context.ask({ message })
        answers.push(answer.action === 'accept' ? answer.content : answer.action)
      }
      notebook.executed.push(`${name}${id}`)
      options.onRun?.()
      return `did ${[name + id, ...answers].join(' ')}`
    },
  })
}

/** Runs of every kind, by name. */
export const scenarios: Record<string, Scenario> = {
  'a run that a model routes': {
    inputs: [{ input: 'my bill is wrong' }],
    agents: (notebook) => [
      agent({
        name: 'front',
        model: notebook.model('router', () => '{"agent":"billing"}'),
        specialists: [
          agent({
            name: 'billing',
            model: notebook.model('billing', (request) =>
              stepOf(request) === 0 ? { text: 'I look.', toolCalls: [call('look')] } : 'It was wrong.',
            ),
            tools: [effectTool(notebook, { name: 'look' })],
          }),
          agent({ name: 'sales', model: notebook.model('sales', () => 'Buy!') }),
        ],
      }),
    ],
  },
  'a run of a conversation that was routed before': {
    inputs: [{ input: 'the invoice' }, { input: 'and now' }],
    agents: (notebook) => [
      agent({
        name: 'front',
        model: notebook.model('front', () => 'I am front.'),
        specialists: [
          {
            agent: agent({ name: 'billing', model: notebook.model('billing', () => 'It is paid.') }),
            keywords: ['invoice'],
          },
        ],
      }),
    ],
  },
  'a run that is handed over behind a tool': {
    inputs: [{ input: 'hello' }],
    agents: (notebook) => {
      const second = agent({
        name: 'second',
        model: notebook.model('second', (request) =>
          request.items.some((item) => item.type === 'tool_call' && item.name === 'note')
            ? 'I am second.'
            : { toolCalls: [call('note')] },
        ),
        tools: [effectTool(notebook, { name: 'note' })],
      })
      return [
        agent({
          name: 'first',
          model: notebook.model('first', () => ({
            toolCalls: [call('look'), call('transfer_to_second', { reason: 'it knows' })],
          })),
          tools: [effectTool(notebook, { name: 'look' })],
          handoffs: [second],
        }),
      ]
    },
  },
  'a reply with two transfers': {
    inputs: [{ input: 'hello' }],
    agents: (notebook) => [
      agent({
        name: 'first',
        model: notebook.model('first', () => ({
          toolCalls: [call('transfer_to_second'), call('transfer_to_third')],
        })),
        handoffs: ['second', 'third'],
      }),
      agent({ name: 'second', model: notebook.model('second', () => 'I am second.'), handoffs: ['third'] }),
      agent({ name: 'third', model: notebook.model('third', () => 'I am third.') }),
    ],
  },
  'a run that goes to and fro until it may no more': {
    inputs: [{ input: 'hello' }],
    agents: (notebook) => [
      agent({
        name: 'first',
        maxHandoffs: 2,
        model: notebook.model('first', (request) =>
          JSON.stringify(request.items).includes('too often')
            ? 'I stay.'
            : { toolCalls: [call('transfer_to_second')] },
        ),
        handoffs: ['second'],
      }),
      agent({
        name: 'second',
        model: notebook.model('second', () => ({ toolCalls: [call('transfer_to_first')] })),
        handoffs: ['first'],
      }),
    ],
  },
  'an agent as a tool, with tools and a plan of its own': {
    inputs: [{ input: 'research it' }],
    agents: (notebook) => {
      const researcher = agent({
        name: 'researcher',
        planning: { every: 2, model: notebook.model('planner', () => 'Search, then tell.') },
        model: notebook.model('researcher', (request) =>
          stepOf(request) < 2
            ? { text: `Step ${stepOf(request)}.`, toolCalls: [call('search', { id: `${stepOf(request)}` })] }
            : 'Found it.',
        ),
        tools: [effectTool(notebook, { name: 'search', effect: 'read' })],
      })
      return [
        agent({
          name: 'writer',
          model: notebook.model('writer', (request) =>
            stepOf(request) === 0 ? { toolCalls: [call('researcher', { task: 'find' })] } : 'Written.',
          ),
          tools: [researcher.asTool()],
        }),
      ]
    },
  },
  'an agent as a tool of an agent as a tool': {
    inputs: [{ input: 'begin' }],
    agents: (notebook) => {
      const inner = agent({
        name: 'inner',
        model: notebook.model('inner', (request) =>
          stepOf(request) === 0 ? { text: 'Inner looks.', toolCalls: [call('look')] } : 'Inner found.',
        ),
        tools: [effectTool(notebook, { name: 'look' })],
      })
      const middle = agent({
        name: 'middle',
        model: notebook.model('middle', (request) =>
          stepOf(request) === 0
            ? { text: 'Middle asks.', toolCalls: [call('inner', { task: 'deep' })] }
            : 'Middle knows.',
        ),
        tools: [inner.asTool()],
      })
      return [
        agent({
          name: 'outer',
          model: notebook.model('outer', (request) =>
            stepOf(request) === 0 ? { toolCalls: [call('middle', { task: 'further' })] } : 'Outer is done.',
          ),
          tools: [middle.asTool()],
        }),
      ]
    },
  },
  'two agents as tools at the same time': {
    mayRepeat: 2,
    parallel: true,
    inputs: [{ input: 'compare' }],
    agents: (notebook) => {
      const helper = (name: string) =>
        agent({
          name,
          model: notebook.model(name, (request) =>
            stepOf(request) === 0 ? { toolCalls: [call('look', { id: name })] } : `${name} found.`,
          ),
          tools: [effectTool(notebook, { name: 'look' })],
        })
      return [
        agent({
          name: 'outer',
          model: notebook.model('outer', (request) =>
            stepOf(request) === 0
              ? { toolCalls: [call('left', { task: 'l' }), call('right', { task: 'r' })] }
              : 'Compared.',
          ),
          tools: [helper('left').asTool(), helper('right').asTool()],
        }),
      ]
    },
  },
  'an agent as a tool that fails in its reply, beside another': {
    mayRepeat: 3,
    parallel: true,
    inputs: [{ input: 'compare' }],
    agents: (notebook) => {
      const looked = Promise.withResolvers<void>()
      const left = agent({
        name: 'left',
        modelTries: 1,
        model: notebook.model('left', () => ({ text: 'I beg', error: { code: 'model_refused' } })),
      })
      const right = agent({
        name: 'right',
        model: notebook.model('right', (request) =>
          stepOf(request) === 0 ? { toolCalls: [call('look')] } : 'Right found.',
        ),
        tools: [effectTool(notebook, { name: 'look', onRun: looked.resolve })],
      })
      return [
        agent({
          name: 'outer',
          model: notebook.model('outer', (request) =>
            stepOf(request) === 0
              ? { toolCalls: [call('left', { task: 'l' }), call('right', { task: 'r' })] }
              : 'Compared.',
          ),
          tools: [left.asTool(), right.asTool()],
          hooks: {
            // What is left of the failed reply is committed before its result: with what the other agent does.
            async afterTool(done) {
              if (done.call.name === 'left') await looked.promise
              return undefined
            },
          },
        }),
      ]
    },
  },
  'a plan that is renewed': {
    inputs: [{ input: 'do it' }],
    agents: (notebook) => {
      let plans = 0
      return [
        agent({
          name: 'planner',
          planning: {
            every: 1,
            model: notebook.model('plan', (request) => {
              plans++
              return `Plan for step ${stepOf({ ...request, items: request.items.slice(0, -1) })}.`
            }),
          },
          model: notebook.model('work', (request) =>
            stepOf(request) < 2
              ? { toolCalls: [call('look', { id: `${stepOf(request)}` })] }
              : `Done.${plans > 0 ? '' : '?'}`,
          ),
          tools: [effectTool(notebook, { name: 'look' })],
        }),
      ]
    },
  },
  'an answer that is corrected twice': {
    inputs: [{ input: 'how many' }],
    agents: (notebook) => [
      agent({
        name: 'counter',
        output: z.object({ count: z.number() }),
        model: notebook.model('counter', ({ items }) => {
          const corrections = items.filter((item) => textOf(item).startsWith('Your answer does not')).length
          return ['many', '{"count":"3"}', '{"count":3}'][corrections] ?? 'lost'
        }),
      }),
    ],
  },
  'a forced answer that is corrected': {
    inputs: [{ input: 'how many' }],
    agents: (notebook) => [
      agent({
        name: 'counter',
        maxSteps: 1,
        output: z.object({ count: z.number() }),
        model: notebook.model('counter', ({ items, toolChoice }) => {
          if (toolChoice !== 'none') return { toolCalls: [call('look')] }
          return items.some((item) => textOf(item).startsWith('Your answer does not'))
            ? '{"count":3}'
            : 'many'
        }),
        tools: [effectTool(notebook, { name: 'look' })],
      }),
    ],
  },
  'an answer that never satisfies': {
    inputs: [{ input: 'how many' }],
    agents: (notebook) => [
      agent({
        name: 'counter',
        output: z.object({ count: z.number() }),
        model: notebook.model('counter', () => 'many'),
      }),
    ],
  },
  'agents that serve as tools and answer by a schema': {
    inputs: [{ input: 'how many' }],
    agents: (notebook) => {
      const teller = agent({
        name: 'teller',
        description: 'Tells.',
        output: z.object({ count: z.string().transform(Number), unit: z.string().default('pieces') }),
        model: notebook.model('teller', ({ items }) => (items.length < 2 ? 'many' : '{"count":"3"}')),
      })
      const guesser = agent({
        name: 'guesser',
        description: 'Guesses.',
        output: z.object({ count: z.number() }),
        model: notebook.model('guesser', () => 'many'),
      })
      return [
        agent({
          name: 'outer',
          model: notebook.model('outer', ({ items }) => {
            const results = items.flatMap((item) => (item.type === 'tool_result' ? [item.output] : []))
            if (results.length > 0) return results.join(' ')
            return { toolCalls: [call('teller', { task: 't' }), call('guesser', { task: 'g' })] }
          }),
          tools: [teller.asTool(), guesser.asTool()],
          toolConcurrency: 1,
        }),
      ]
    },
  },
  'a tool that asks twice, behind an approval': {
    inputs: [{ input: 'book' }],
    agents: (notebook) => [
      agent({
        name: 'clerk',
        model: notebook.model('clerk', (request) =>
          stepOf(request) === 0 ? { toolCalls: [call('look'), call('book')] } : 'Booked.',
        ),
        tools: [
          effectTool(notebook, { name: 'look' }),
          effectTool(notebook, {
            name: 'book',
            effect: 'write',
            approval: 'required',
            questions: ['which day?', 'which hour?'],
          }),
        ],
      }),
    ],
  },
  'an agent as a tool whose tools ask': {
    mayRepeat: 2,
    parallel: true,
    inputs: [{ input: 'book' }],
    agents: (notebook) => {
      const booker = agent({
        name: 'booker',
        model: notebook.model('booker', (request) =>
          stepOf(request) === 0 ? { toolCalls: [call('pay'), call('book')] } : 'Booked and paid.',
        ),
        tools: [
          effectTool(notebook, { name: 'pay', effect: 'write', approval: 'required' }),
          effectTool(notebook, { name: 'book', effect: 'write', questions: ['which day?'] }),
        ],
      })
      return [
        agent({
          name: 'clerk',
          model: notebook.model('clerk', (request) =>
            stepOf(request) === 0 ? { toolCalls: [call('booker', { task: 'book' })] } : 'Done.',
          ),
          tools: [booker.asTool()],
        }),
      ]
    },
  },
  'a conversation that is summarised': {
    inputs: [{ input: 'one' }, { input: 'two' }, { input: 'three' }, { input: 'four' }],
    agents: (notebook) => [
      agent({
        name: 'talker',
        history: {
          maxTurns: 2,
          summarise: { keepTurns: 1, model: notebook.model('summary', () => 'They counted.') },
        },
        model: notebook.model('talker', ({ items }) => `After ${textOf(items.at(-1))}.`),
      }),
    ],
  },
  'a step that falls over to another model': {
    // The step begins anew, with the first model.
    mayRepeat: 2,
    breaksOff: true,
    inputs: [{ input: 'hello' }],
    agents: (notebook) => [
      agent({
        name: 'stubborn',
        modelTries: 1,
        model: [
          notebook.model('poor', () => ({ text: 'I sta', error: { code: 'model_refused' } })),
          notebook.model('good', () => 'I answer.'),
        ],
      }),
    ],
  },
  'a run near its budget': {
    mayRepeat: 2,
    inputs: [{ input: 'spend' }],
    agents: (notebook) => [
      agent({
        name: 'spender',
        budget: { toolCalls: 4 },
        model: notebook.model('spender', (request) =>
          request.toolChoice !== 'none'
            ? {
                toolCalls: [
                  call('look', { id: `${stepOf(request)}` }),
                  call('look', { id: `${stepOf(request)}b` }),
                ],
              }
            : 'That is all.',
        ),
        tools: [effectTool(notebook, { name: 'look' })],
      }),
    ],
  },
}
