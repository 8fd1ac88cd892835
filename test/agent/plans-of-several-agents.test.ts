import { describe, expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'

const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })
const callLook: ScriptedReply = { toolCalls: [{ name: 'look', arguments: {} }] }
const planner = (replies: readonly ScriptedReply[]) => scriptedModel(replies, { id: 'scripted/planner' })

describe('an agent that serves as a tool', () => {
  const helperOf = (replies: readonly ScriptedReply[], every = 5) =>
    agent({ name: 'helper', description: 'Helps.', model: scriptedModel(replies), planning: { every } })

  test('plans for itself: its plan is progress of the call, and neither the run’s nor told to who called it', async () => {
    const helper = helperOf(['Plan of helper', 'Helped.'])
    const plans = planner(['Plan of boss'])
    const model = scriptedModel([{ toolCalls: [{ name: 'helper', arguments: { task: 'help' } }] }, 'Done.'])
    const boss = agent({
      name: 'assistant',
      model,
      tools: [helper.asTool()],
      planning: { every: 5, model: plans },
    })
    const engine = await startEngine({ agents: [boss] })
    const { run, events } = await engine.finish()
    expect(run.plan).toBe('Plan of boss')
    expect(eventsOfType(events, 'plan.update')).toMatchObject([{ plan: 'Plan of boss' }])
    const shown = eventsOfType(events, 'tool.progress').map(({ event }) => event)
    expect(shown).toContainEqual({ type: 'plan.update', plan: 'Plan of helper', updated: false })
    const [reply] = helper.models as ScriptedModel[]
    expect(transcript(reply?.calls[1])).toEqual([
      'user: help',
      'user: The plan, as it stands:\nPlan of helper',
    ])
    expect(transcript(model.calls[1]).join()).not.toContain('helper\nPlan')
    expect(transcript(model.calls[1]).join()).not.toContain('Plan of helper')
  })
})

test('an agent that serves as a tool and waits for a person goes on with its plan', async () => {
  const ask = tool({ name: 'ask', description: 'Asks.', approval: 'required', execute: () => 'yes' })
  const plans = planner(['Plan of helper'])
  const answers = scriptedModel([{ toolCalls: [{ name: 'ask', arguments: {} }] }, 'Helped.'])
  const helper = agent({
    name: 'helper',
    description: 'Helps.',
    model: answers,
    tools: [ask],
    planning: { every: 5, model: plans },
  })
  const call = { toolCalls: [{ name: 'helper', arguments: { task: 'help' } }] }
  const engine = await startEngine({
    model: scriptedModel([call, 'Done.']),
    agent: { tools: [helper.asTool()] },
  })
  const { run } = await engine.finish()
  const [approval] = await engine.runs.pendingApprovals(run)
  await engine.approvals.decide(anonymous, approval?.id ?? '', { decision: 'approve' })
  await engine.events(await engine.load(run), run.last_seq)
  expect(await engine.load(run)).toMatchObject({ status: 'completed', plan: null })
  expect(plans.calls).toHaveLength(1)
  expect(transcript(answers.calls[1])).toEqual([
    'user: help',
    'user: The plan, as it stands:\nPlan of helper',
    'call ask {}',
    'result yes',
  ])
})

test('an agent that a run is handed to plans as it begins, and from there on', async () => {
  const expert = agent({
    name: 'expert',
    model: scriptedModel([callLook, callLook, 'Done.']),
    tools: [look],
    planning: { every: 2, model: planner(['Plan A', 'Plan B']) },
  })
  const front = agent({
    name: 'assistant',
    model: scriptedModel([{ toolCalls: [{ name: 'transfer_to_expert', arguments: {} }] }]),
    handoffs: [expert],
    planning: { every: 9, model: planner(['Plan of front']) },
  })
  const engine = await startEngine({ agents: [front] })
  const { run, events } = await engine.finish()
  const order = events.flatMap((event): (string | number)[] => {
    if (event.type === 'plan.update') return [`${event.plan}${event.updated ? ' (updated)' : ''}`]
    return event.type === 'step.start' ? [event.step] : []
  })
  expect(order).toEqual(['Plan of front', 0, 'Plan A (updated)', 1, 2, 'Plan B (updated)', 3])
  expect(run.plan).toBe('Plan B')
})
