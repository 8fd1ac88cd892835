import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { brokenModel, inquiryModel, randomModel } from './random-model.ts'
import { randomTools } from './random-tools.ts'

const { read, idempotent, write, gated, asking, asking_write } = randomTools
const model = randomModel('reply')
const served = randomModel('served', { maxSteps: 2 })

const sales = agent({ name: 'sales', model, tools: [read, write] })
const accounts = agent({
  name: 'accounts',
  model,
  tools: [idempotent],
  handoffs: ['sales', 'relay'],
  maxSteps: 5,
})

/** Serve as tools: one with tools that wait for people, one that has the other as a tool and plans. */
const helper = agent({ name: 'helper', model: served, tools: [read, write, gated, asking], maxSteps: 3 })
const scout = agent({
  name: 'scout',
  model: served,
  tools: [read, helper.asTool()],
  planning: { every: 2, model: inquiryModel('servedPlan', () => 'search, then tell') },
  maxSteps: 3,
})

/** Every way in which agents work, to be called with a number that says what they do. */
export const randomAgents = [
  agent({ name: 'talker', model }),
  agent({ name: 'reader', model, tools: [read, idempotent] }),
  agent({ name: 'worker', model, tools: [read, idempotent, write] }),
  agent({ name: 'clerk', model, tools: [read, idempotent, write, gated], maxSteps: 3 }),
  agent({ name: 'asker', model, tools: [read, asking, asking_write] }),
  agent({
    name: 'desk',
    model,
    specialists: [
      { agent: sales, keywords: ['order', 'price'] },
      { agent: accounts, keywords: ['invoice', { word: 'order', weight: 0.5 }] },
    ],
  }),
  agent({
    name: 'switchboard',
    model,
    specialists: [sales, accounts],
    routing: {
      by: 'model',
      model: inquiryModel('choice', (random) =>
        JSON.stringify({ agent: random.pick(['sales', 'accounts', 'switchboard', 'nobody']) }),
      ),
    },
  }),
  agent({ name: 'relay', model, tools: [read], handoffs: [accounts, sales], maxHandoffs: 3 }),
  agent({
    name: 'lead',
    model,
    tools: [read, helper.asTool(), scout.asTool()],
    maxSteps: 4,
    // Time to die in, between the last word of an agent that serves and the result of its call.
    hooks: { afterTool: () => sleep(30, undefined) },
  }),
  agent({
    name: 'strategist',
    model,
    tools: [read, write],
    planning: { every: 2, model: inquiryModel('plan', (random) => `plan ${random.between(1, 9)}`) },
  }),
  agent({
    name: 'former',
    model: randomModel('reply', { json: true }),
    tools: [read],
    output: z.object({ count: z.int() }),
  }),
  agent({ name: 'spender', model, tools: [read, idempotent, helper.asTool()], budget: { toolCalls: 5 } }),
  agent({ name: 'saver', model, tools: [read, scout.asTool()], budget: { tokens: 300_000 } }),
  agent({
    name: 'historian',
    model,
    tools: [read],
    history: { maxTurns: 3, summarise: { keepTurns: 1, model: inquiryModel('summary', () => 'so it was') } },
  }),
  agent({ name: 'fallible', model: [brokenModel, model], tools: [read], modelTries: 2 }),
]

/** Whose answer must be what a schema says. */
export const formedAgents: ReadonlySet<string> = new Set(['former'])
